"""Two evaluations of the same questions: pairs, intervals, and what cannot be compared."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom.cli.main import main
from anyloom.errors import CheckpointError
from anyloom.evaluation.intervals import interval_of_mean
from anyloom.evaluation.paired import Difference, differences, read_scores, write_scores
from anyloom.interfaces.metric import Score

FACTS = {"title": "Tiny", "split": "test", "queries": 300, "seed": 0, "asked": "0f"}
INFO = {"title": "Right", "explanation": "", "better": "higher", "form": "percent"}


def written(folder: Path, scores: list[Score], values: dict[str, Any], **facts: Any) -> Path:
    folder.mkdir()
    names = {f"{name.split('/')[0]}/{name.split('/')[-1]}": INFO for name in values}
    content = {"format": 1, **FACTS, **facts, "measures": names, "values": values, "tests": []}
    (folder / "results.json").write_text(json.dumps(content))
    write_scores(folder / "scores.jsonl", {"retrieval": scores})
    return folder


def value(number: float, error: float | None = None) -> dict[str, Any]:
    return {"value": number, "count": 0, "error": error}


def marks(right: list[float], group: str = "edit") -> list[Score]:
    return [Score(n, (group,), {"top1": mark}) for n, mark in enumerate(right)]


NAME = "retrieval/edit/top1"


def test_pairs_are_counted_and_the_sign_test_is_the_binomials(tmp_path: Path) -> None:
    """Six better, one worse, three alike: p is 2 * (C(7,6) + C(7,7)) / 2^7."""
    one = written(tmp_path / "a", marks([0] * 6 + [1] + [1] * 3), {NAME: value(0.4)})
    other = written(tmp_path / "b", marks([1] * 6 + [0] + [1] * 3), {NAME: value(0.9)})
    (found,) = differences(one, other)
    assert (found.count, found.better, found.worse, found.unpaired) == (10, 6, 1, ())
    assert found.p == pytest.approx(2 * 8 / 2**7)
    assert (found.first, found.second) == (0.4, 0.9)
    assert found.difference == pytest.approx(0.5)
    assert found.low is not None
    assert found.low < 0.5 < (found.high or 0)


def test_the_interval_of_many_is_the_normal_one() -> None:
    data = torch.randn(400, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 3
    middle, wide = float(data.mean()), 1.959964 * float(data.std()) / math.sqrt(400)
    low, high = interval_of_mean(data.tolist())
    assert low == pytest.approx(middle - wide, abs=0.1 * wide)
    assert high == pytest.approx(middle + wide, abs=0.1 * wide)


def test_values_without_samples_are_compared_by_their_errors(tmp_path: Path) -> None:
    """The variance of a difference of independent values is the sum of theirs: errors of 3 and 4 make 5."""
    name = "distance/all/fd"
    one = written(tmp_path / "a", [], {name: value(10, 3.0)})
    other = written(tmp_path / "b", [], {name: value(12, 4.0)})
    (found,) = differences(one, other)
    assert found.low == pytest.approx(2 - 1.959964 * 5)
    assert (found.count, found.p) == (0, None)
    (alone,) = differences(written(tmp_path / "c", [], {name: value(10)}), other)
    assert alone == Difference(name, 10, 12, None, None, 0)


def test_questions_that_one_has_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = written(tmp_path / "a", marks([1, 1, 0]), {NAME: value(0.6), "retrieval/exemplar/top1": value(0.1)})
    other = written(tmp_path / "b", marks([1, 1]), {NAME: value(1)})
    (found,) = differences(one, other)
    assert (found.count, found.unpaired, found.first) == (2, (2,), 1.0)
    assert main(["compare", str(one), str(other), "--json", str(tmp_path / "out.json")]) == 0
    told = capsys.readouterr().out
    assert f"left out of {NAME}: 1 queries that only one of the two has (2)" in told
    assert "not compared, because only one of the two has it: retrieval/exemplar/top1" in told
    assert json.loads((tmp_path / "out.json").read_text())[0]["unpaired"] == [2]


def test_one_query_with_several_numbers_of_examples_is_several_questions(tmp_path: Path) -> None:
    scores = [Score(0, ("edit", "edit/k1"), {"top1": 0.0}), Score(0, ("edit", "edit/k4"), {"top1": 1.0})]
    write_scores(tmp_path / "scores.jsonl", {"retrieval": scores})
    assert list(read_scores(tmp_path / "scores.jsonl")[NAME].values()) == [0.0, 1.0]


@pytest.mark.parametrize("fact", ["seed", "queries", "asked", "split"])
def test_other_questions_are_refused(tmp_path: Path, fact: str) -> None:
    one = written(tmp_path / "a", marks([1]), {NAME: value(1)})
    other = written(tmp_path / "b", marks([1]), {NAME: value(1)}, **{fact: "other"})
    with pytest.raises(CheckpointError, match=f"different questions: {fact}"):
        differences(one, other)


@pytest.mark.parametrize("line", ["[]", "{", '{"metric": "a", "query": 0, "groups": ["b"], "values": {"c": "d"}}'])
def test_broken_scores_are_named(tmp_path: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    one = written(tmp_path / "a", marks([1]), {NAME: value(1)})
    (one / "scores.jsonl").write_text(line + "\n")
    assert main(["compare", str(one), str(one)]) == 2
    assert "no scores of an evaluation" in capsys.readouterr().err
    assert main(["compare", str(one), str(tmp_path / "none")]) == 2
