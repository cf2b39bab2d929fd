"""``anyloom evaluate`` over two processes gives what one gives, also after one of them was killed."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from anyloom.conversation import Media
from anyloom.errors import ConfigError
from anyloom.evaluation.ranks import Ranks
from forked import each_of
from parts import picture
from projects import save_brush_model, write_suite

COUNTED = """
import os, signal
from anyloom import AnyToAnyModel

answer, asked = AnyToAnyModel.answer, []


def counted(self, *words):
    if len(asked) == {stop}:
        os.kill(os.getpid(), signal.SIGKILL)
    asked.append(0)
    print("answered", len(words[0]), flush=True)
    return answer(self, *words)


AnyToAnyModel.answer = counted
"""
BATCHES = 5


def large(number: int) -> Media:
    """A picture of the size that the decoder makes."""
    small = picture(number).tensor()
    return Media("image", small.repeat_interleave(2, -1).repeat_interleave(2, -2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A saved model with a decoder, ten conversations, and a suite that asks them two at a time."""
    made = tmp_path_factory.mktemp("suite")
    save_brush_model(made / "model", tokenizer_folder)
    write_suite(made, 2 * BATCHES, ["feature-error", "psnr"], batch_size=2, shown=large)
    return made


def evaluate(folder: Path, out: Path, *stops: int) -> tuple[list[int], list[str]]:
    """Evaluate on a process for each stop, the answer before which it is killed; statuses, and what they said."""
    words = ["evaluate", str(folder / "model"), "--trust", "--suite", str(folder / "suite.yaml"), "--output", str(out)]
    return each_of([COUNTED.replace("{stop}", str(stop)) for stop in stops], *words, folder=folder)


def written(out: Path) -> tuple[Any, dict[str, float]]:
    """What is in a results folder but for the time and the place, and apart from it the numbers that are no counts."""
    results = json.loads((out / "results.json").read_text())
    assert results.pop("seconds") > 0
    assert str(out) in results.pop("command")
    numbers: dict[str, float] = {}
    for name, value in results["values"].items():
        numbers |= {f"{name}/{k}": value.pop(k) for k in ("value", "error") if value[k] is not None}
    scores = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    for number, score in enumerate(scores):
        numbers |= {f"{number}/{k}": v for k, v in score.pop("values").items()}
    return [results, scores], numbers


def require_equal(out: Path, other: Path) -> None:
    """Exactly equal on one machine; what is asked here leaves room for kernels that go by where tensors lie."""
    facts, numbers = written(out)
    assert facts == written(other)[0]
    assert numbers == pytest.approx(written(other)[1], rel=1e-6, abs=1e-9)
    assert len(numbers) > 4 * BATCHES


@pytest.mark.ddp
@pytest.mark.slow
def test_two_processes_give_what_one_gives_also_after_a_kill(folder: Path, tmp_path: Path) -> None:
    statuses, (said,) = evaluate(folder, tmp_path / "one", -1)
    assert statuses == [0], said
    assert said.count("answered") == BATCHES + 1, "the batches and one to show"

    statuses, both = evaluate(folder, tmp_path / "two", -1, -1)
    assert statuses == [0, 0], both
    assert [said.count("answered") for said in both] == [3 + 1, 2]
    assert "results:" in both[0]
    assert "results:" not in both[1]
    require_equal(tmp_path / "two", tmp_path / "one")
    assert {v["count"] for v in written(tmp_path / "two")[0][0]["values"].values()} == {2 * BATCHES}

    statuses, cut = evaluate(folder, tmp_path / "cut", -1, 1)
    assert statuses == [2, -signal.SIGKILL]
    assert "the same command goes on where they stopped" in cut[0]
    assert not (tmp_path / "cut" / "results.json").exists()
    statuses, again = evaluate(folder, tmp_path / "cut", -1, -1)
    assert statuses == [0, 0], again
    assert [said.count("answered") for said in again] == [1, 1], "one to show; the batch that was cut off"
    assert "4 batches of answers are those of the run that was cut off" in again[0]
    require_equal(tmp_path / "cut", tmp_path / "one")
    assert sorted(p.name for p in (tmp_path / "cut").iterdir()) == [
        "report.html", "results.json", "results.md", "scores.jsonl",
    ]  # fmt: skip


def test_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert Ranks.of_environment() == Ranks(0, 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="start it with torchrun"):
        Ranks.of_environment()
    for name, value in {"RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    assert Ranks.of_environment() == Ranks(1, 2)
    assert not Ranks.of_environment().first
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(ConfigError, match="which one of several"):
        Ranks.of_environment()
