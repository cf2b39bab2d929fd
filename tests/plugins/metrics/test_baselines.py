"""Baselines: closed forms, round trips through published pipelines, and the command that asks them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom.building import build
from anyloom.cli.main import main
from anyloom.conversation import Conversation, Media, Message
from anyloom.errors import ConfigError
from anyloom.evaluation.results import Results
from anyloom.interfaces import Baseline, Question, Sample
from anyloom.media import read_media, write_media
from anyloom_baselines import tiny
from anyloom_metrics.tiny_extractors import write_clip
from parts import picture

CPU = torch.device("cpu")


def asked(*media: Media, **facts: Any) -> Question:
    return Question(Conversation([Message("user", [*media, "a"])]), (media[-1].modality,), facts)


def ready(case: Any) -> Baseline:
    baseline: Baseline = case.build()
    baseline.prepare(case.training, CPU)
    return baseline


def test_the_nearest_neighbour_of_a_training_question_is_itself(tmp_path: Path) -> None:
    case = tiny.nearest_neighbour(tmp_path)
    baseline = ready(case)
    for sample in case.training:
        source, target = sample.conversation.messages[0].media[0], sample.conversation.messages[1].media[0]
        answer = baseline.answer(asked(source), 0)
        assert torch.equal(answer.media[0].tensor(), target.tensor())


def test_arithmetic_adds_the_mean_change(tmp_path: Path) -> None:
    """Two examples of one change give the feature of one; the examples' order does not matter."""
    baseline = ready(tiny.vector_arithmetic(tmp_path))
    seen: list[torch.Tensor] = []
    baseline.decoder.generate = lambda condition, seeds, **_: seen.append(condition.features) or []  # type: ignore[attr-defined]
    a, b, c, d, x = (picture(n) for n in range(5))
    for shown in ((a, b, x), (a, b, a, b, x), (a, b, c, d, x), (x,)):
        baseline.answer(asked(*shown), 0)
    vectors = baseline.features([a, b, c, d, x])  # type: ignore[attr-defined]
    one, other = vectors[1] - vectors[0], vectors[3] - vectors[2]
    changes = [one, one, (one + other) / 2, torch.zeros_like(one)]
    for found, change in zip(seen, changes):
        torch.testing.assert_close(found[0], vectors[4] + change)


def through_the_autoencoder(folder: str, source: torch.Tensor) -> torch.Tensor:
    import diffusers

    vae = diffusers.AutoencoderKL.from_pretrained(f"{folder}/vae")
    with torch.no_grad():
        decoded = vae.decode(vae.encode(source[None] * 2 - 1).latent_dist.mode()).sample
    return (decoded[0] / 2 + 0.5).clamp(0, 1)


def test_inversion_with_the_same_words_gives_the_picture_back(tmp_path: Path) -> None:
    case = tiny.ddim_inversion(tmp_path)
    source = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1))
    want = through_the_autoencoder(case.options["weights"], source)
    question = asked(Media("image", source), caption="a", edited_caption="a")
    baseline = case.build(denoising_steps=7, guidance=1.0)
    baseline.prepare((), CPU)
    with torch.no_grad():  # whatever is predicted, if it is the same everywhere, the way back is the way there
        last = baseline.pipeline.unet.conv_out
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.3, -0.2, 0.5, 0.1]))
    torch.testing.assert_close(baseline.answer(question, 0).media[0].tensor(), want, atol=2e-4, rtol=0)


def test_sdedit_keeps_more_with_less_strength(tmp_path: Path) -> None:
    case = tiny.sdedit(tmp_path)
    source = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(1))
    want = through_the_autoencoder(case.options["weights"], source)
    errors = []
    for strength in (0.02, 1.0):
        baseline = case.build(strength=strength, denoising_steps=50)
        baseline.prepare((), CPU)
        made = baseline.answer(asked(Media("image", source), edited_caption="a"), 0).media[0].tensor()
        errors.append(float((made - want).abs().mean()))
    assert errors[0] < 0.75 * errors[1]


def test_an_edit_without_its_caption_says_what_to_do(tmp_path: Path) -> None:
    baseline = ready(tiny.sdedit(tmp_path))
    with pytest.raises(ConfigError, match=r"baseline\.says=instruction"):
        baseline.answer(asked(picture(0)), 0)


@pytest.fixture
def edits(tmp_path: Path) -> list[str]:
    """The suite coco-edit on three pictures, with CLIP of random weights."""
    write_clip(tmp_path / "clip")
    folder = tmp_path / "edits"
    rows = []
    for n in range(3):
        write_media(picture(n), folder / f"{n}.png")
        captions = {"caption": "a", "edited_caption": "a red hat"}
        rows.append({"id": f"edit-{n}", "image": f"{n}.png", "instruction": "make it red", **captions})
    (folder / "edits.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["--suite", "coco-edit", f"variables.data={folder}", f"variables.clip={tmp_path / 'clip'}"]


def test_copying_answers_with_the_inputs_and_is_scored(
    tmp_path: Path, edits: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["baseline", "copying", *edits, "--output", str(out)]) == 0
    assert "directional" in capsys.readouterr().out
    lines = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    assert [line["key"] for line in lines] == ["edit-0", "edit-1", "edit-2"]
    for n, line in enumerate(lines):
        written = read_media(out / line["messages"][0]["content"][0]["path"])
        torch.testing.assert_close(written.tensor(), read_media(tmp_path / "edits" / f"{n}.png").tensor())
    results = Results.read(out / "results.json")
    assert results.facts["paired"] == 3
    assert results.values["clip/prompt/image"].value == pytest.approx(1.0, abs=1e-5)  # an unchanged picture


def test_a_run_that_was_cut_off_goes_on(tmp_path: Path, edits: list[str]) -> None:
    tiny.write_picture_pipeline(tmp_path / "sd", "StableDiffusionPipeline")
    options = [f"baseline.weights={tmp_path / 'sd'}", "baseline.size=16", "baseline.denoising_steps=2"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for out in (whole, cut):
        assert main(["baseline", "sdedit", *options, *edits, "--output", str(out)]) == 0
    text = (cut / "answers.jsonl").read_text()
    lines = text.splitlines(keepends=True)
    (cut / "answers.jsonl").write_text(lines[0] + lines[1][:20])  # as a kill leaves it
    kept = next((cut / "media").glob("000000*"))
    before = kept.stat().st_mtime_ns
    assert main(["baseline", "sdedit", *options, *edits, "--output", str(cut)]) == 0
    assert kept.stat().st_mtime_ns == before
    whole_values, cut_values = (Results.read(out / "results.json").values for out in (whole, cut))
    assert {k: v.value for k, v in whole_values.items()} == {k: v.value for k, v in cut_values.items()}


def test_answers_with_line_separators_are_found_again_and_other_lines_are_one_error(
    tmp_path: Path, edits: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON may hold U+2028 and U+0085 as they are: only a line feed ends a line of JSON Lines."""
    out = tmp_path / "out"
    assert main(["baseline", "copying", *edits, "--output", str(out)]) == 0
    whole = (out / "answers.jsonl").read_bytes()
    lines = [json.loads(line) for line in whole.split(b"\n") if line]
    lines[1]["messages"][0]["content"].insert(0, {"type": "text", "text": "one\u2028two\u0085three"})
    said = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (out / "answers.jsonl").write_text(said, encoding="utf-8")
    assert main(["baseline", "copying", *edits, "--output", str(out)]) == 0
    assert (out / "answers.jsonl").read_text(encoding="utf-8") == said
    for bad in ("{\n", "[]\n", "[" * 10**5 + "\n", '{"key": 1\n'):
        (out / "answers.jsonl").write_text(said + bad, encoding="utf-8")
        capsys.readouterr()
        assert main(["baseline", "copying", *edits, "--output", str(out)]) == 2
        assert "a line is none that a baseline has written" in capsys.readouterr().err


def test_answers_of_another_baseline_are_not_mixed(
    tmp_path: Path, edits: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--output", str(tmp_path / "out")]
    assert main(["baseline", "copying", *edits, *out]) == 0
    assert main(["baseline", "copying", *edits, *out, "--seed", "1"]) == 2
    assert "another baseline, seed or suite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["copyin"], "copying"),
        (["sdedit", "baseline.weights=nowhere"], "no such folder"),
        (["sdedit"], "weights"),
        (["copying", "model.x=1"], "baseline.KEY"),
    ],
)
def test_mistakes_get_one_line(
    tmp_path: Path, edits: list[str], words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["baseline", *words, *edits, "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_question_holds_no_target() -> None:
    from anyloom.evaluation.baselines import question_of

    sample = Sample(Conversation([Message("user", "a"), Message("assistant", [picture(1)])]), "edit")
    question = question_of(sample)
    assert question.wanted == ("image",)
    assert not [m for message in question.prompt.messages for m in message.media]
    assert build("baseline", "copying").needs_training_set is False
