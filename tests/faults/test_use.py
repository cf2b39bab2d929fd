"""What real use broke, where no room's own tests say it: whole runs of commands on small projects."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.building import build
from anyloom.cli.main import main
from anyloom.data.ledger import Bad, Ledger
from anyloom.errors import AnyloomError, BadRecord, PluginError
from anyloom.evaluation.intervals import interval_of_share
from anyloom.generation.options import GenerationOptions
from anyloom.interfaces import Sample
from anyloom.interfaces.promises import origin
from anyloom.media import write_media
from anyloom.storage.tensors import read_tensors
from anyloom.training.run import run
from parts import image_decoder_options, model_options, picture
from projects import sections, write_config


def test_an_accumulated_step_is_the_step_of_one_batch(tmp_path: Path) -> None:
    """A whole fit of 4 x 1 and of 1 x 4, by plain gradient descent: the same weights to 1e-6."""
    results = []
    for name, size, times in (("one", 4, 1), ("four", 1, 4)):
        (tmp_path / name).mkdir()
        made = sections(tmp_path / name, max_steps=1)
        made["data"] |= {"batch_size": size, "bucket": 1}
        made["trainer"]["accumulate_grad_batches"] = times
        for modality in made["model"]["modalities"].values():
            modality["representation"]["feature_noise"] = 0.3
        descent = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}, "gradient_clip": 0}
        made["module"]["optimizer"] = descent
        run("fit", made)
        results.append(read_tensors(tmp_path / name / "result"))
    one, four = results
    assert max(float((one[name] - four[name]).abs().max()) for name in one) < 1e-6


@pytest.mark.parametrize("bucket", [1, 2])
def test_a_run_says_that_turns_were_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str], bucket: int) -> None:
    """Four conversations of three turns, of which the limit leaves one or two: counted by hand from the lengths."""
    made = sections(tmp_path, max_steps=2)
    turns = [
        {"role": role, "content": text}
        for n in range(3)
        for role, text in (("user", "hello there " * 4), ("assistant", f"heart {n}"))
    ]
    lines = "".join(json.dumps({"messages": turns[-2 * kept :]}) + "\n" for kept in (3, 3, 2, 1))
    (tmp_path / "data" / "train.jsonl").write_text(lines)
    length = [len(AnyToAnyModel.from_config(made).interleaver()(_said(turns[-2 * n :]))) for n in (1, 2, 3)]
    made["model"]["max_length"] = length[1]
    made["data"] |= {"batch_size": 2, "bucket": bucket}
    made["trainer"] |= {"max_steps": -1, "max_epochs": 1}
    assert main(["fit", write_config(tmp_path, made)]) == 0
    assert "4 read = 4 used + 0 skipped + 0 cut; 2 turns were left out of those used" in capsys.readouterr().err
    (ledger,) = tmp_path.rglob("ledger.json")
    assert json.loads(ledger.read_text())["train"]["total"]["turns_lost"] == 2


def _said(turns: list[dict[str, str]]) -> Conversation:
    return Conversation([Message(turn["role"], turn["content"]) for turn in turns])  # type: ignore[arg-type]


def test_one_over_long_answer_is_named_by_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = sections(tmp_path, max_steps=2)
    file = tmp_path / "data" / "train.jsonl"
    lines = file.read_text().splitlines()
    asked = {"role": "user", "content": "hi"}
    lines[2] = json.dumps({"messages": [asked, {"role": "assistant", "content": "word " * 5000}]})
    file.write_text("\n".join(lines) + "\n")
    config = write_config(tmp_path, made)
    assert main(["fit", config]) == 2
    said = capsys.readouterr().err
    assert f"{file}:3" in said
    assert "too long" in said
    assert "Traceback" not in said
    assert main(["fit", config, "data.max_bad=0.2"]) == 0
    assert "skipped" in capsys.readouterr().err


def test_what_does_not_fit_into_the_table_of_positions_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """GPT-2 has as many positions as its table: 32 here, and some samples are longer."""
    made = sections(tmp_path, max_steps=2)
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 32}
    made["model"]["llm"]["architecture"] = {"model_type": "gpt2", **sizes}
    config = write_config(tmp_path, made)
    assert main(["fit", config]) == 2
    assert "too long" in capsys.readouterr().err
    assert main(["fit", config, "data.max_bad=0.9"]) == 0
    assert "too long" in capsys.readouterr().err


def test_check_knows_the_options_of_another_family(capsys: pytest.CaptureFixture[str]) -> None:
    """Over the recipe of a Llama: nothing of Llama's stays, and a typo is told."""
    right, wrong = "{model_type: gpt2, n_embd: 64, n_head: 4}", "{model_type: gpt2, n_embed: 64}"
    assert main(["check", "mini", f"model.llm.architecture={right}"]) == 0
    assert main(["check", "mini", f"model.llm.architecture={wrong}"]) == 2
    assert "did you mean 'n_embd'?" in capsys.readouterr().out


def test_a_result_in_half_precision_is_tested(tmp_path: Path) -> None:
    made = sections(tmp_path, max_steps=2)
    made["trainer"]["precision"] = "bf16-true"
    made["module"]["metrics"] = {"feature": {"name": "feature-error"}}
    config = write_config(tmp_path, made)
    assert main(["fit", config]) == 0
    assert main(["test", config]) == 0


def test_as_many_seeds_and_options_as_conversations(tokenizer_folder: Path) -> None:
    model = AnyToAnyModel.from_config({"model": model_options(tokenizer_folder)})
    two = [Conversation([Message("user", "hi")])] * 2
    with pytest.raises(AnyloomError, match="1 seeds for 2 conversations"):
        model.answer(two, [0], [GenerationOptions()] * 2)
    with pytest.raises(AnyloomError, match="1 options for 2 conversations"):
        model.answer(two, [0, 1], [GenerationOptions()])


@pytest.mark.parametrize("right", [0, 2])
def test_two_of_two_are_not_certain(right: int) -> None:
    """Wilson's interval, by its closed form."""
    low, high = interval_of_share(right / 2, 2)
    z = 1.959964
    centre, spread = (right + z * z / 2) / (2 + z * z), z / (2 + z * z) * (right * (2 - right) / 2 + z * z / 4) ** 0.5
    assert (low, high) == pytest.approx((max(centre - spread, 0), min(centre + spread, 1)), abs=1e-4)
    assert high - low > 0.6


def a_dict(*_: Any, **__: Any) -> Any:
    return {"pixels": 1}


def nothing(*_: Any, **__: Any) -> Any:
    return None


def one_less(given: torch.Tensor) -> torch.Tensor:
    return given[..., :-1]


def the_sum(given: torch.Tensor) -> torch.Tensor:
    return given.sum()


def changed(component: Any, method: str, change: Any) -> None:
    """Let a component of its own class break one promise, as a plugin with a fault would."""
    own = type(component)
    before = getattr(own, method)

    def after(self: Any, *args: Any, **kwargs: Any) -> Any:
        return change(before(self, *args, **kwargs))

    component.__class__ = type(own.__name__, (own,), {method: after, "__module__": own.__module__})


@pytest.fixture
def model(tokenizer_folder: Path) -> AnyToAnyModel:
    options = model_options(tokenizer_folder)
    options["decoders"] = {"brush": image_decoder_options()}
    options["modalities"]["image"]["decoder"] = "brush"
    return AnyToAnyModel.from_config({"model": options})


ASKED = Conversation([Message("user", ["what is this?", picture(1)])])


@pytest.mark.parametrize(
    ("method", "change", "said"),
    [
        ("forward", one_less, r"forward\(\) promises a tensor \(1, 1, 8\), and returned one of \(1, 1, 7\)"),
        ("forward", a_dict, r"forward\(\) promises a tensor, and returned a dict"),
        ("preprocess", a_dict, r"preprocess\(\) promises a tensor, and returned a dict"),
    ],
)
def test_an_encoder_that_breaks_its_promise_is_named(model: AnyToAnyModel, method: str, change: Any, said: str) -> None:
    eye = model.encoder("image")
    changed(eye, method, change)
    with pytest.raises(PluginError, match=said) as caught:
        model.generate(ASKED)
    assert "PatchEncoder" in caught.value.where


@pytest.mark.parametrize(
    ("change", "said"),
    [(nothing, "returned a NoneType"), (lambda made: [], "returned 0"), (lambda m: [3], "returned a int among them")],
)
def test_a_decoder_that_makes_no_media_is_named(model: AnyToAnyModel, change: Any, said: str) -> None:
    changed(model.decoder("image"), "generate", change)
    with pytest.raises(PluginError, match=rf"generate\(\) promises a list of 1 media, and {said}"):
        model.generate(ASKED, plan=("image",))


def test_a_decoder_with_one_loss_for_all_rows_is_named(model: AnyToAnyModel) -> None:
    changed(model.decoder("image"), "forward", the_sum)
    answer = Conversation([Message("user", "draw"), Message("assistant", [picture(2)])])
    with pytest.raises(PluginError, match=r"forward\(\) promises a tensor \(1,\), and returned one of \(\)"):
        model(model.collator()([Sample(answer, "t")]))


def test_a_registered_component_is_named_with_package_and_version() -> None:
    version = importlib.metadata.version("anyloom")
    assert origin(build("projector", "mlp", {}, in_dim=2, out_dim=2)) == f"projector 'mlp' of anyloom {version}"
    assert origin(torch.nn.Linear(1, 1)).endswith(f"of torch {importlib.metadata.version('torch')}")


def test_examples_in_the_ledger_are_told_once() -> None:
    """Three epochs over the same bad row are three skipped records and one example, the first."""
    ledger = Ledger(max_bad=1.0)
    for position in (12, 2, 22):
        ledger.skip([Bad(position, "mine", "a:1", BadRecord("bad row", "a:1", "no messages"))])
    assert ledger.total()["skipped"] == {"bad row": 3}
    assert ledger.examples()["bad row"] == ["a:1: no messages"]


def test_a_modality_that_is_not_installed_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_media(picture(1), tmp_path / "x.png")
    assert main(["generate", "mini-plain", "--text", "hi", "--media", f"depthmap:{tmp_path}/x.png"]) == 2
    assert "no modality is called 'depthmap'" in capsys.readouterr().err


def test_a_run_whose_loss_explodes_says_so_and_a_calm_one_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, rate, remarked in (("calm", 0.001, False), ("wild", 3.0, True)):
        (tmp_path / name).mkdir()
        made = sections(tmp_path / name, max_steps=6)
        made["module"]["optimizer"] = {"class_path": "torch.optim.AdamW", "init_args": {"lr": rate}, "gradient_clip": 0}
        assert main(["fit", write_config(tmp_path / name, made)]) == 0
        said = capsys.readouterr().err
        assert ("times what it was; if it stays there, lower the learning rate" in said) == remarked, said
