"""Every suite of the package runs on published layouts: on a model, and on what another program made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel
from anyloom.cli.main import main
from anyloom.config.compose import compose
from anyloom.conversation import Media
from anyloom.discovery import get_registry
from anyloom.errors import ConfigError
from anyloom.evaluation.results import Results
from anyloom.evaluation.runner import samples_of
from anyloom.evaluation.suite import read_suite, to_choose_by
from anyloom.media import write_media
from anyloom_corpora.fixtures.layouts import write_layout
from anyloom_metrics.tiny_extractors import write_clip
from parts import model_options, picture, sound

DINO = "extractor: {weights: null, hidden_size: 12, layers: 1, heads: 2}"
CNN = "extractor: {weights: null, thin: 32}"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("clip")
    write_clip(folder)
    return str(folder)


def dreambench(folder: Path, clip: str) -> list[str]:
    write_layout("dream-bench", folder)
    return [f"variables.clip={clip}", f"suite.metrics.dino={{{DINO}}}"]


def coco_edit(folder: Path, clip: str) -> list[str]:
    rows = []
    for n in range(3):
        write_media(picture(n), folder / f"{n}.png")
        captions = {"caption": "a hat", "edited_caption": "a red hat"}
        rows.append({"id": f"edit-{n}", "image": f"{n}.png", "instruction": "make it red", **captions})
    (folder / "edits.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [f"variables.clip={clip}"]


def audio_edit(folder: Path, clip: str) -> list[str]:
    write_layout("audiocaps", folder)
    return [f"suite.metrics.kl={{{CNN}}}", f"suite.metrics.fd={{{CNN}}}"]


def cobsat(folder: Path, clip: str) -> list[str]:
    write_layout("cobsat", folder)
    return [f"variables.clip={clip}", "suite.data.datasets.cobsat.numbers=[1, 2]"]


def prompts(folder: Path, clip: str) -> list[str]:
    write_layout("geneval", folder)
    return [f"variables.clip={clip}"]


def captions(folder: Path, clip: str) -> list[str]:
    rows = ["file,caption"]
    for n in range(3):
        write_media(picture(n), folder / f"{n}.png")
        rows.append(f"{n}.png,a red heart number {n}")
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    return []


def retrieval(folder: Path, clip: str) -> list[str]:
    return [*captions(folder, clip), f"variables.clip={clip}"]


def multi_round(folder: Path, clip: str) -> list[str]:
    write_layout("instruct-pix2pix", folder)
    return [f"suite.metrics.kept={{{DINO}}}", "suite.split=train"]


def interleaved(folder: Path, clip: str) -> list[str]:
    rows = []
    for n in range(3):
        write_media(picture(n), folder / f"{n}.png")
        answer = [{"type": "text", "text": "here"}, {"type": "image", "path": f"{n}.png"}]
        messages = [{"role": "user", "content": "what is this?"}, {"role": "assistant", "content": answer}]
        rows.append(json.dumps({"id": n, "messages": messages}))
    (folder / "own.jsonl").write_text("\n".join(rows))
    return [f"variables.data={folder / 'own.jsonl'}"]


SUITES: dict[str, tuple[Callable[[Path, str], list[str]], str]] = {
    "dreambench": (dreambench, "dino/subject/alignment"),
    "dreambench-all": (dreambench, "clip_i/subject/alignment"),
    "coco-edit": (coco_edit, "clip/prompt/directional"),
    "audio-edit": (audio_edit, "lsd/audio-add/distance"),
    "cobsat": (cobsat, "shown/inference/task-1/inferred"),
    "prompts": (prompts, "clip_t/prompt/colors/alignment"),
    "caption": (captions, "captions/image-to-text/rouge_l"),
    "retrieval": (retrieval, "captions/text-to-image/to_text_top1"),
    "multi-round": (multi_round, "obeyed/image-turns-3/ssim"),
    "interleaved": (interleaved, "structure/chat/kinds"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> str:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = {"model": model_options(tokenizer_folder)}
    AnyToAnyModel.from_config(config).save_pretrained(folder / "m")
    return str(folder / "m")


def test_every_suite_is_tried() -> None:
    own = {name for name, spec in get_registry().recipes.items() if spec.package == "anyloom_suites"}
    assert own == {*SUITES, "joint", "cobsat-mini"}
    for name in own - {"cobsat-mini"}:
        assert set(compose([name])) == {"suite", "variables"}


@pytest.mark.parametrize("name", SUITES)
def test_what_another_program_made_is_scored(name: str, tmp_path: Path, clip: str) -> None:
    prepare, value = SUITES[name]
    data = tmp_path / "data"
    data.mkdir()
    overrides = [f"variables.data={data}", *prepare(data, clip)]
    suite = read_suite(name, overrides)
    asked = samples_of(suite)
    assert asked
    out = tmp_path / "out"
    out.mkdir()
    lines = []
    for n, sample in enumerate(asked):
        kinds = [m.modality for m in sample.conversation.messages[-1].media] or ["text"]
        called = (sample.provenance.get("names") or [sample.key])[0] if name == "interleaved" else sample.key
        called = (f"{sample.task}/" if name in ("audio-edit", "multi-round") else "") + called.replace("#", "_")
        (out / called).parent.mkdir(parents=True, exist_ok=True)
        if kinds == ["text"]:
            (out / f"{called}.txt").write_text(f"a red heart number {n}")
        elif kinds == ["audio"]:
            write_media(sound(n), out / f"{called}.wav")
        elif name == "interleaved":
            write_media(picture(n), out / f"{n}.png")
            content = [{"type": "text", "text": "here"}, {"type": "image", "path": f"{n}.png"}]
            lines.append(json.dumps({"id": called, "content": content}))
        else:
            size = sample.conversation.messages[-1].media[0]
            made = picture(n) if size.data is None and size.loader is None else Media("image", size.tensor() * 0)
            write_media(made, out / f"{called}.png")
    if lines:
        (out / "answers.jsonl").write_text("\n".join(lines))
    result = tmp_path / "result"
    assert main(["score", str(out), "--suite", name, "--output", str(result), *overrides]) == 0
    results = Results.read(result / "results.json")
    assert results.facts["paired"] == len(asked)
    assert not results.facts["questions without an output"]
    assert value in results.values


@pytest.mark.slow
@pytest.mark.parametrize("name", SUITES)
def test_a_model_is_evaluated(name: str, tmp_path: Path, clip: str, model: str) -> None:
    prepare, value = SUITES[name]
    data = tmp_path / "data"
    data.mkdir()
    overrides = [f"variables.data={data}", *prepare(data, clip), "suite.queries=2", "suite.shown=1"]
    result = tmp_path / "result"
    assert main(["evaluate", model, "--trust", "--suite", name, "--output", str(result), *overrides]) == 0
    found = Results.read(result / "results.json")
    assert found.values
    named = value.split("/")[0]
    assert any(v.startswith(f"{named}/") for v in [*found.values, *found.flags])
    assert (result / "results.md").is_file()


def test_a_model_of_clips_is_asked_with_up_to_eight_examples(tmp_path: Path, tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder, modalities=("image", "audio", "video"))
    options["llm"]["architecture"]["max_position_embeddings"] = 1024
    torch.manual_seed(0)
    AnyToAnyModel.from_config({"model": options}).save_pretrained(tmp_path / "m")
    words = ["evaluate", str(tmp_path / "m"), "--trust", "--suite", "in-context", "--output", str(tmp_path / "out")]
    sets = ["suite.data.datasets.starter.num_queries=1", "suite.data.datasets.sweep.num_queries=2", "suite.shown=0"]
    others = ("retrieval", "chain", "decoder", "feature", "hearing", "sound")
    assert main([*words, *sets, *(f"suite.metrics.{name}.tasks=[none]" for name in others)]) == 0
    results = Results.read(tmp_path / "out" / "results.json")
    for metric, modality in (("sweep", "image"), ("heard", "audio"), ("watched", "video")):
        for k in (0, 1, 2, 4, 8):
            for family in ("seen", "unseen"):
                assert results.values[f"{metric}/{modality}-in-context/{family}/k{k}/hard_top1"].count == 2
    assert results.facts["not asked"] == {}


@pytest.mark.parametrize("name", ["dreambench", "coco-edit"])
def test_benchmarks_in_one_piece_have_a_half_to_choose_by(name: str, tmp_path: Path) -> None:
    """The subjects of one half are not in the other, and both are the whole that is asked by default."""
    SUITES[name][0](tmp_path, "")
    words = [f"variables.data={tmp_path}"]
    whole, chosen, reported = (
        {s.key for s in samples_of(suite)}
        for suite in (
            read_suite(name, words),
            to_choose_by(read_suite(name, words)),
            read_suite(name, [*words, "suite.split=test/report"]),
        )
    )
    assert chosen
    assert reported
    assert chosen | reported == whole
    assert not chosen & reported


def test_published_rows_are_those_of_the_paper() -> None:
    tables = {name: read_suite(name).tables for name in ("dreambench", "audio-edit", "coco-edit")}
    assert tables["dreambench"][0].quoted["CoDi-2"].values == {"DINO": 0.703, "CLIP-I": 0.852, "CLIP-T": 0.311}
    assert tables["audio-edit"][2].quoted["AUDIT"].values == {"LSD": 1.37, "KL": 0.84, "FD": 21.65}
    assert tables["coco-edit"][0].quoted["InstructPix2Pix"].values == {"directional": 0.151}


def test_joint_reads_a_table_of_clips_and_sounds(tmp_path: Path) -> None:
    (tmp_path / "prompts.csv").write_text("id,prompt\na,a flash\nb,a beep\n")
    from anyloom_metrics.tiny_metrics import beep, clip

    write_media(clip(0), tmp_path / "a.mp4")
    write_media(beep(0), tmp_path / "a.wav")
    (tmp_path / "made.csv").write_text("id,video_path,audio_path\na,a.mp4,a.wav\n")
    words = ["score", str(tmp_path / "made.csv"), "--suite", "joint", f"variables.data={tmp_path}"]
    assert main([*words, "--output", str(tmp_path / "out")]) == 0
    results = Results.read(tmp_path / "out" / "results.json")
    assert results.values["structure/prompt/order"].value == 0.5
    assert results.facts["questions without an output"] == ["b"]
    assert "synchrony/prompt/offset" in results.values


def test_cobsat_outputs_are_called_as_its_programs_call_them(tmp_path: Path, clip: str) -> None:
    data = tmp_path / "data"
    write_layout("cobsat", data)
    overrides = [f"variables.data={data}", f"variables.clip={clip}", "suite.data.datasets.cobsat.numbers=[1]"]
    out = tmp_path / "made" / "task_1"
    out.mkdir(parents=True)
    # theta_list[shots + 1] of the first prompt is 4, the fifth object; x_list begins with 8, 7, 5
    (out / "0_car_blue_brown_orange.json").write_text(json.dumps({"description": "An orange car."}))
    words = ["score", str(tmp_path / "made"), "--suite", "cobsat", "--output", str(tmp_path / "r"), *overrides]
    assert main(words) == 0
    results: Any = Results.read(tmp_path / "r" / "results.json")
    assert results.values["said/inference/all"].value == 1.0


def test_sounds_of_another_program_are_scored_in_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right sound as a WAV file is at no distance; the input as an answer is at the distance of copying."""
    monkeypatch.chdir(tmp_path)
    few = ["suite.queries=1", "suite.limits={}", "suite.data.datasets.sweep.num_queries=1"]
    words = ["--suite", "in-context", *few]
    suite = read_suite("in-context", words[2:])
    asked = {name: s for s in samples_of(suite) for name in s.provenance["names"]}
    right, same = asked["sound-add/0"], asked["sound-drop/0"]
    write_media(right.conversation.messages[-1].media[0], tmp_path / "out" / "sound-add" / "0.wav")
    write_media(same.conversation.prompt().media[0], tmp_path / "out" / "sound-drop" / "0.wav")
    assert main(["score", "out", *words]) == 0
    values = Results.read(tmp_path / "scores" / "results.json").values
    assert values["sound/sound-add/distance"].value == pytest.approx(0, abs=0.02)
    copied = values["sound/sound-drop/distance_copying"].value
    assert values["sound/sound-drop/distance"].value == pytest.approx(copied, abs=0.02)
    assert copied > 0.05


def test_cobsat_mini_tells_what_is_given_from_what_is_inferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program that copies the last example has what is inferred, and one that knows the answer has both."""
    monkeypatch.chdir(tmp_path)
    words = ["--suite", "cobsat-mini", "suite.data.datasets.inference.num_queries=1"]
    for sample in samples_of(read_suite("cobsat-mini", words[2:])):
        (name,) = sample.provenance["names"]
        seen = [*sample.conversation.prompt().media, *sample.conversation.messages[-1].media]
        if sample.provenance["k"] == 1:
            write_media(seen[0], tmp_path / "out" / f"{name}.png")
        elif sample.provenance["k"] == 4:
            write_media(seen[-1], tmp_path / "out" / f"{name}.png")
    assert main(["score", "out", *words]) == 0
    values = Results.read(tmp_path / "scores" / "results.json").values
    for kind in ("attribute-inference", "object-inference"):
        found = {
            k: [values[f"pixels/{kind}/k{k}/{aspect}"].value for aspect in ("given", "inferred", "both")]
            for k in (0, 1, 4)
        }
        assert found == {0: [0, 0, 0], 1: [0, 1, 0], 4: [1, 1, 1]}


def test_cobsat_mini_runs_on_a_model(model: str, tmp_path: Path) -> None:
    words = ["evaluate", "--model", model, "--suite", "cobsat-mini", "--output", str(tmp_path / "r"), "--trust"]
    assert main([*words, "suite.data.datasets.inference.num_queries=1", "suite.shown=1"]) == 0
    values = Results.read(tmp_path / "r" / "results.json").values
    for metric in ("nearest", "pixels"):
        assert [values[f"{metric}/object-inference/k{k}/both"].count for k in (0, 1, 2, 4, 8)] == [3] * 5


def test_what_is_chosen_by_is_not_what_is_reported(model: str, tmp_path: Path) -> None:
    words = [
        "evaluate",
        model,
        "--suite",
        "cobsat-mini",
        "--trust",
        "suite.shown=0",
        "suite.metrics.pixels.tasks=[none]",
    ]
    words += ["suite.data.datasets.inference.num_queries=1", "suite.data.datasets.inference.examples=[0]"]
    for name, more in (("chosen", ["--choose"]), ("reported", [])):
        assert main([*words, *more, "--output", str(tmp_path / name)]) == 0
    chosen, reported = (Results.read(tmp_path / name / "results.json") for name in ("chosen", "reported"))
    assert (chosen.facts["split"], reported.facts["split"]) == ("val", "test")
    lines = [(tmp_path / name / "scores.jsonl").read_text().splitlines() for name in ("chosen", "reported")]
    queries = [{json.loads(line)["query"] for line in own} for own in lines]
    assert not queries[0] & queries[1]
    said = [(tmp_path / name / "results.md").read_text() for name in ("chosen", "reported")]
    assert ["not numbers to report" in text for text in said] == [True, False]
    with pytest.raises(ConfigError, match="nothing can be chosen by it"):
        to_choose_by(read_suite("cobsat-mini", ["suite.choose=test"]))
