"""``anyloom evaluate`` goes on where it was cut off, shows how far it is, and keeps earlier results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel
from anyloom.cli.kept_answers import KeptAnswers
from anyloom.cli.main import main
from anyloom.conversation import Conversation, Media, Message
from anyloom.generation.options import GenerationOptions
from parts import picture
from projects import save_brush_model, write_suite


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A saved model with a decoder, twelve conversations, and a suite that asks them four at a time."""
    made = tmp_path_factory.mktemp("suite")
    save_brush_model(made / "model", tokenizer_folder)
    write_suite(made, 12, ["feature-error"], batch_size=4)
    return made


def evaluate(folder: Path, out: Path, *words: str) -> int:
    suite = str(folder / "suite.yaml")
    return main(["evaluate", str(folder / "model"), "--trust", "--suite", suite, "--output", str(out), *words])


def values(out: Path) -> Any:
    return json.loads((out / "results.json").read_text())["values"]


class PowerCutError(Exception):
    pass


def test_a_run_that_was_cut_off_asks_only_what_is_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer, asked = AnyToAnyModel.answer, []

    def counted(self: AnyToAnyModel, conversations: Any, seeds: Any, options: Any) -> Any:
        if len(asked) == stop:
            raise PowerCutError
        asked.append(len(conversations))
        return answer(self, conversations, seeds, options)

    monkeypatch.setattr(AnyToAnyModel, "answer", counted)
    stop = -1
    assert evaluate(folder, tmp_path / "whole") == 0
    calls = len(asked)
    assert calls == 4, "three batches and one to show"
    assert "measuring 33%" in capsys.readouterr().err
    asked.clear()
    stop = 2
    with pytest.raises(PowerCutError):
        evaluate(folder, tmp_path / "cut")
    stop = -1
    assert evaluate(folder, tmp_path / "cut") == 0
    assert len(asked) == calls
    assert "2 batches of answers are those of the run that was cut off" in capsys.readouterr().err
    assert values(tmp_path / "cut") == values(tmp_path / "whole")
    assert (tmp_path / "cut" / "report.html").read_text().count("data:image") > 0
    assert sorted(p.name for p in (tmp_path / "cut").iterdir()) == [
        "report.html", "results.json", "results.md", "scores.jsonl",
    ]  # fmt: skip


def test_answers_of_other_seeds_and_damaged_files_are_made_again(folder: Path, tmp_path: Path) -> None:
    model = AnyToAnyModel.from_pretrained(folder / "model", trust=True)
    fresh = model.answer
    kept = KeptAnswers(model, tmp_path, {"weights": "a"})
    asked = Conversation([Message("user", ["hello ", picture(1)])])
    options = GenerationOptions(media={"image": "force"}, max_new_tokens=3)
    first, again = (kept([asked], [1], [options]) for _ in range(2))
    assert kept.found == 1
    expected = fresh([asked], [1], [options])
    for answers in (first, again):
        assert answers[0].text == expected[0].text
        assert [m.modality for m in answers[0].media] == [m.modality for m in expected[0].media]
        for mine, theirs in zip(answers[0].media, expected[0].media):
            assert torch.equal(mine.tensor(), theirs.tensor())
            assert mine.features is not None
            assert theirs.features is not None
            assert torch.equal(mine.features, theirs.features)
            assert dict(mine.meta) == dict(theirs.meta)
    unnamed = Conversation([Message("user", ["hello ", Media("image", picture(1).tensor() * 0.5)])])
    for conversation, seed, chosen in (
        (asked, 2, options),
        (asked, 1, GenerationOptions(media={"image": "force"}, max_new_tokens=2)),
        (unnamed, 1, options),
        (Conversation([Message("user", ["hello", picture(1)])]), 1, options),
    ):
        kept([conversation], [seed], [chosen])
    other = KeptAnswers(AnyToAnyModel.from_pretrained(folder / "model", trust=True), tmp_path, {"weights": "b"})
    other([asked], [1], [options])
    assert (kept.found, other.found) == (1, 0)
    for file in kept.folder.iterdir():
        file.write_bytes(file.read_bytes()[:-3])
    kept([asked], [1], [options])
    assert kept.found == 1


def test_results_stay_and_overrides_reach_the_suite_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert evaluate(folder, out, "--queries", "2") == 0
    before = (out / "results.json").read_bytes()
    assert evaluate(folder, out, "--queries", "3", "-q") == 0
    printed = capsys.readouterr()
    assert f"results: {tmp_path / 'out-001' / 'results.json'}" in printed.out
    assert (out / "results.json").read_bytes() == before
    for word, message in {
        "model.max_length=3": "changes nothing here",
        "variables.suit.queries=3": "no variable is called 'suit'",
        "suite.querys=3": "did you mean 'queries'?",
        "trainer.x=1": "changes nothing here",
    }.items():
        assert evaluate(folder, tmp_path / "x", word) == 2
        assert message in capsys.readouterr().err


def test_an_evaluation_compared_with_itself_and_with_another_model(
    folder: Path, tmp_path: Path, tokenizer_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(folder, tmp_path / "one") == 0
    model = AnyToAnyModel.from_pretrained(folder / "model", trust=True)
    with torch.no_grad():
        for parameter in model.parts.representation("image").parameters():
            parameter.mul_(1.5)
    model.save_pretrained(tmp_path / "other")
    suite = ["--suite", str(folder / "suite.yaml"), "--output", str(tmp_path / "two")]
    assert main(["evaluate", str(tmp_path / "other"), "--trust", *suite]) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "one"), str(tmp_path / "one")]) == 0
    assert "+0.0000 .. +0.0000" in capsys.readouterr().out
    out = tmp_path / "differences.json"
    assert main(["compare", str(tmp_path / "one"), str(tmp_path / "two"), "--json", str(out)]) == 0
    for found in json.loads(out.read_text()):
        for side, place in (("first", "one"), ("second", "two")):
            assert found[side] == pytest.approx(values(tmp_path / place)[found["name"]]["value"], rel=1e-5)
        assert found["count"] == (0 if found["name"].endswith("relative") else 12), "a ratio of sums has no pairs"
