"""The paper's recipe, in full size without its files and in tiny sizes from end to end."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scripts.make_tiny_codi2 import LLAMA_2_TEMPLATE, llama_tokenizer, write

from anyloom import AnyToAnyModel, Conversation, Message, read_media
from anyloom.building import build_named, component_class
from anyloom.checking.preflight import Findings, look_over
from anyloom.cli.main import main
from anyloom.config.compose import compose
from anyloom.data.mixing import without_mixing
from anyloom.diffusion.objective import loss_weight
from anyloom.network.config import ModelConfig
from anyloom.network.network import Network
from anyloom.options import split_name, validate

TINY = str(Path(__file__).parents[3] / "scripts" / "tiny_codi2.yaml")
MODALITIES = ("image", "audio", "video")
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> Findings:
    nowhere = tmp_path_factory.mktemp("empty") / "nowhere"
    return look_over(["codi2"], [f"variables.checkpoints={nowhere}", f"variables.data={nowhere}/data"])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    write(folder)
    return folder


@pytest.fixture(scope="module")
def trained(tiny: Path) -> Path:
    """The folder after two steps of training."""
    assert main(["fit", TINY, *variables(tiny)]) == 0
    return tiny


def variables(folder: Path) -> list[str]:
    names = {"checkpoints": "checkpoints", "data": "data", "run": "run"}
    return [f"variables.{name}={folder / place}" for name, place in names.items()]


def conversation(folder: Path) -> Conversation:
    media = [read_media(folder / "data" / name) for name in ("0-given.png", "0-given.wav", "0-target.mp4")]
    return Conversation([Message("user", ["turn the picture and the sound into a clip", *media])])


def test_nothing_but_the_files_is_missing_for_the_full_size(full_size: Findings) -> None:
    assert [str(p) for p in full_size.problems] == []
    assert {s.licence for s in full_size.sources.values()} == {
        "Llama 2 Community License",
        "CC-BY-NC-SA-4.0",
        "CreativeML Open RAIL++-M",
        "CC-BY-NC-4.0",
        "your own",
    }
    sources = {f.path: full_size.source_of(f.path) for f in full_size.missing}
    assert len(sources) == 8
    commands = [source.get for source in sources.values() if source is not None]
    assert len(commands) == 8
    assert sum("hf download " in c or "imagebind-convert" in c for c in commands) == 5


def test_the_full_size_is_the_published_one(full_size: Findings) -> None:
    """Sizes as published: Llama-2-7b, ImageBind-huge and the three denoisers."""
    inspection = full_size.models[""]
    parts = {p.key.removeprefix("model."): p for p in inspection.parts}
    llm = parts["llm"]
    assert llm.parameters - llm.trainable == 6_738_415_616
    assert parts["encoders.imagebind"].parameters == pytest.approx(1200.8e6, rel=1e-4)
    denoisers = [round(parts[f"decoders.{m}"].networks["unet"] / 1e6) for m in MODALITIES]
    assert denoisers == [870, 347, 1411]
    adapters = 32 * 4 * 2 * 16 * 4096
    projectors = sum(p.parameters for key, p in parts.items() if key.startswith("modalities."))
    assert llm.trainable == adapters + 2 * 6 * 4096
    assert sum(p.trainable for p in parts.values()) == llm.trainable + projectors
    assert {m: str(s) for m, s in inspection.spaces.items()} == {
        "image": "openclip-vit-h (1 x 1024, raw)",
        "audio": "imagebind-huge (1 x 1024, raw)",
        "video": "imagebind-huge (1 x 1024, raw)",
    }


def test_every_diffusion_loss_is_that_of_the_noise() -> None:
    """Eq. 1 of the paper: an error e of the noise counts e^2, which is alpha^2 v^2 for the same guess as a velocity."""
    abar = torch.tensor([0.1, 0.5, 0.9])
    for key, options in compose(["codi2"])["model"]["decoders"].items():
        name, own = split_name(options, where=key)
        config = validate(component_class("decoder", name).Config, own, where=key)
        expected = {"epsilon": torch.ones(3), "v_prediction": abar}[config.prediction]
        assert torch.equal(loss_weight(abar, config.prediction, config.weighting), expected), key


def test_training_the_full_size_without_its_files_says_how_to_get_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "codi2", *variables(tmp_path / "nowhere")]) == 2
    error = capsys.readouterr().err
    assert "hf download meta-llama/Llama-2-7b-chat-hf" in error
    assert "Traceback" not in error


def test_training_has_every_loss_and_they_are_finite(trained: Path) -> None:
    (log,) = (trained / "run" / "log").glob("*/metrics.csv")
    rows = list(csv.DictReader(log.read_text().splitlines()))
    names = ["text", *(f"{term}/{m}" for term in ("feature", "diffusion") for m in MODALITIES)]
    for name in names:
        values = [float(row[f"train/{name}"]) for row in rows if row.get(f"train/{name}")]
        assert len(values) == 2, name
        assert all(0 < v < 1e4 for v in values), (name, values)


@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf", "ignore:Dynamo detected a call"
)
@pytest.mark.slow
def test_a_step_of_all_decoders_compiles_into_few_graphs(tiny: Path) -> None:
    """LoRA, recomputed activations, ImageBind and the three diffusion losses, without a break."""
    made = compose([TINY], variables(tiny))
    network = Network(validate(ModelConfig, made["model"], where="model")).train()
    samples = [
        build_named("dataset", options, where=key).build("train")[0]
        for key, options in without_mixing(made["data"]["datasets"]).items()
    ]
    batch = network.collator()(samples)
    assert {name for name, media in batch.media.items() if media.decoder is not None} == set(MODALITIES)
    torch._dynamo.reset()
    assert torch._dynamo.explain(network)(batch).graph_count <= 2


def test_the_result_holds_what_was_trained_and_refers_to_the_rest(trained: Path) -> None:
    saved = trained / "run" / "model"
    keys = load_file(saved / "model.safetensors").keys()
    assert any("lora_" in key for key in keys)
    assert any(key.startswith("representations.video.output_projector") for key in keys)
    assert not any(key.startswith(("encoders.", "decoders.")) or "base_layer" in key for key in keys)
    references = json.loads((saved / "config.json").read_text())["references"]
    assert sorted(references) == ["decoders.audio", "decoders.image", "decoders.video", "encoders.imagebind", "llm"]


def test_answers_are_files_that_other_programs_open(trained: Path, tmp_path: Path) -> None:
    import av
    import soundfile
    from PIL import Image

    given = [w for n in ("0-given.png", "0-given.wav", "0-target.mp4") for w in ("--media", f"{trained}/data/{n}")]
    forced = [w for m in MODALITIES for w in ("--force", m)]
    words = ["--text", "turn it into a clip", *given, *forced, "--max-new-tokens", "4", "--output", str(tmp_path)]
    assert main(["generate", str(trained / "run" / "model"), *words]) == 0
    answer = json.loads((tmp_path / "conversation.json").read_text())["messages"][-1]["content"]
    paths = {part["type"]: tmp_path / part["path"] for part in answer if part["type"] != "text"}
    assert set(paths) == set(MODALITIES)
    with Image.open(paths["image"]) as picture:
        assert picture.size == (32, 32)
    samples, rate = soundfile.read(paths["audio"])
    assert (len(samples), rate) == (64 * 160, 16000)
    with av.open(str(paths["video"])) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 4
    assert np.stack(frames).shape == (4, 32, 48, 3)


def test_a_model_saved_whole_gives_the_same_answers(trained: Path, tmp_path: Path) -> None:
    model = AnyToAnyModel.from_pretrained(trained / "run" / "model")
    model.save_pretrained(tmp_path / "whole")
    whole = AnyToAnyModel.from_pretrained(tmp_path / "whole")
    options: dict[str, Any] = {"media": dict.fromkeys(MODALITIES, "force"), "max_new_tokens": 6, "seed": 3}
    answers = [m.generate(conversation(trained), **options) for m in (model, whole)]
    assert answers[0].text == answers[1].text
    for one, other in zip(answers[0].media, answers[1].media, strict=True):
        assert torch.equal(one.tensor(), other.tensor())
        assert one.modality == other.modality


def test_text_is_what_llama_2_was_trained_on() -> None:
    """The ids of pieces, joined, are those of the whole conversation in one string."""
    from anyloom_llama.tokenizer import ChatTokenizer

    backend = llama_tokenizer()
    messages = [("user", "make it blue"), ("assistant", "here it is"), ("user", "and let it ring")]
    tokenizer = ChatTokenizer(backend)
    pieces = tokenizer.render([Message(role, text) for role, text in messages])  # type: ignore[arg-type]
    ours = [i for piece in pieces for i in piece.ids]
    as_dicts = [{"role": role, "content": text} for role, text in messages]
    whole = backend.apply_chat_template(as_dicts, chat_template=LLAMA_2_TEMPLATE, tokenize=False)
    assert whole == "<s>[INST] make it blue [/INST] here it is </s><s>[INST] and let it ring [/INST]"
    assert ours == backend(whole, add_special_tokens=False)["input_ids"]


def broken(tiny: Path, folder: Path) -> Path:
    """A copy of the checkpoints to break."""
    shutil.copytree(tiny / "checkpoints", folder / "checkpoints")
    return folder / "checkpoints"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def change(path: Path, *, without: str = "", extra: Sequence[str] = ()) -> None:
    tensors = {k: v for k, v in load_file(path).items() if k != without}
    save_file({**tensors, **{k: torch.zeros(1) for k in extra}}, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda c: shutil.rmtree(c / "zeroscope_v2_576w"), "zeroscope_v2_576w: this is not there; model.decoders."),
        (lambda c: shutil.rmtree(c / "zeroscope_v2_576w"), "reads it. To fix: hf download"),
        (lambda c: truncate(c / "llama-2-7b-chat/model.safetensors"), "llama-2-7b-chat: a file is truncated"),
        (lambda c: truncate(c / "imagebind_huge.safetensors"), "imagebind_huge.safetensors: the file is truncated"),
        (lambda c: truncate(c / "audioldm2" / UNET), "audioldm2/unet: cannot read"),
        (
            lambda c: change(c / "llama-2-7b-chat/model.safetensors", without="lm_head.weight"),
            "1 keys missing: lm_head.weight",
        ),
        (lambda c: change(c / "imagebind_huge.safetensors", extra=["spare"]), "1 keys unexpected: spare"),
        (
            lambda c: change(c / "zeroscope_v2_576w" / UNET, without="conv_out.bias", extra=["spare"]),
            "1 keys missing: conv_out.bias; 1 keys unexpected: spare",
        ),
        (
            lambda c: shutil.move(c / "audioldm2", c / "old") and shutil.move(c / "zeroscope_v2_576w", c / "audioldm2"),
            "zeroscope_v2_576w: this is not there",
        ),
        (
            lambda c: shutil.rmtree(c / "llama-2-7b-chat") or shutil.copytree(c / "audioldm2", c / "llama-2-7b-chat"),
            "llama-2-7b-chat: cannot be read",
        ),
        (
            lambda c: shutil.copytree(c / "zeroscope_v2_576w", c / "stable-diffusion-2-1-unclip", dirs_exist_ok=True),
            "stable-diffusion-2-1-unclip/",
        ),
    ],
)
def test_damaged_checkpoints_are_one_line(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Any, says: str
) -> None:
    damage(broken(tiny, tmp_path))
    (tmp_path / "data").symlink_to(tiny / "data")
    assert main(["fit", TINY, *variables(tmp_path)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert says in lines[0]


PICKLED = {
    "stable-diffusion-2-1-unclip/unet": "model.decoders.image",
    "audioldm2/vae": "model.decoders.audio",
    "zeroscope_v2_576w/unet": "model.decoders.video",
    "llama-2-7b-chat": "model.llm",
}


def test_pickled_weights_are_found_before_loading(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = broken(tiny, tmp_path)
    folders = {copy / part: key for part, key in PICKLED.items()}
    (tmp_path / "data").symlink_to(tiny / "data")
    for folder in folders:
        for file in folder.glob("*.safetensors"):
            name = "pytorch_model" if file.stem == "model" else file.stem  # as transformers and diffusers have them
            torch.save(load_file(file), folder / f"{name}.bin")
            file.unlink()
    found = [str(p) for p in look_over([TINY], variables(tmp_path)).problems]
    for folder, key in folders.items():
        said = f"{key}: {folder}: the weights are pickled ("
        assert len([line for line in found if line.startswith(said) and "anyloom to-safetensors" in line]) == 1
    assert all(any(line.startswith(f"{key}: ") for key in PICKLED.values()) for line in found)
    assert main(["fit", TINY, *variables(tmp_path)]) == 2
    assert "the weights are pickled (" in capsys.readouterr().err
    for folder in folders:
        assert main(["to-safetensors", str(folder)]) == 0
    assert look_over([TINY], variables(tmp_path)).problems == []


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.decoders.image.space=imagebind-huge", "name 'openclip-vit-h' is not 'imagebind-huge'"),
        ("model.decoders.audio.dim=1024", "dim 16 is not 1024"),
        ("model.encoders.imagebind.normalise=unit", "scale 'unit' is not 'raw'"),
        ("model.modalities.video.decoder=image", "'image' (sd-unclip) makes image, not video"),
    ],
)
def test_feature_spaces_that_do_not_fit_are_found_before_loading(tiny: Path, override: str, says: str) -> None:
    problems = [p for p in look_over([TINY], [*variables(tiny), override]).problems if says in p.what]
    assert problems
    assert problems[0].where.startswith("model.modalities.")
    assert all(p.where.startswith(("model.modalities.", "module.")) for p in problems)  # module: a stage's decoder


def test_a_fitted_decoder_takes_the_published_ones_place(trained: Path) -> None:
    folder = trained / "run" / "audio-decoder"
    assert main(["fit", TINY, *variables(trained), "--stage", "audio-decoder"]) == 0
    override = f"model.decoders.audio.weights={folder}"
    assert look_over([TINY], [*variables(trained), override]).ok
    fitted = AnyToAnyModel.from_config(TINY, [*variables(trained), override]).parts.decoder("audio")
    published = load_file(trained / "checkpoints" / "audioldm2" / UNET)
    new, old = fitted.unet.conv_in.weight, published["conv_in.weight"]
    assert new.shape[1] == 2 * old.shape[1]
    assert not torch.equal(new[:, : old.shape[1]], old)
    assert new[:, old.shape[1] :].abs().max() > 0
    assert fitted.vocoder is not None
