"""Two evaluations of the same questions, compared pair by pair.

``scores.jsonl`` stands beside ``results.json``: a line ``{"metric", "query", "groups", "values"}`` for every sample, as
:meth:`anyloom.interfaces.Metric.scores` has them. Values that belong to no single sample (a distance of distributions)
have no line, and are compared without pairs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from anyloom.errors import CheckpointError
from anyloom.evaluation.intervals import NORMAL, interval_of_mean
from anyloom.evaluation.results import Results, named_parts
from anyloom.evaluation.sign_test import SignTest, probability_by_chance
from anyloom.interfaces.metric import Score
from anyloom.storage.atomic import write_text
from anyloom.storage.json_text import json_value

__all__ = ["SCORES", "Difference", "differences", "in_one_only", "read_scores", "write_scores"]

SCORES: Final = "scores.jsonl"
_ASKED: Final = ("title", "split", "queries", "seed", "asked")

Question = tuple[int, int]
"""A query, and the how many-eth score of a group it is: one query may be asked with several numbers of examples."""

Values = Mapping[str, Mapping[Question, float]]


@dataclass(frozen=True)
class Difference:
    """How much a value differs between two evaluations.

    Args:
        name: ``<metric>/<group>/<value>``.
        first: Its value in the first.
        second: Its value in the second.
        low: Lower end of the 95 % interval of ``second - first``; None if nothing is known of the spread.
        high: Its upper end.
        count: Questions that both answered; 0 if the value is of no single question.
        better: Questions on which the second is larger.
        worse: Questions on which it is smaller.
        p: Probability of so uneven a split if a coin decided each (two-sided sign test); None without pairs.
        unpaired: Queries that only one of the two has, each as often as it is missing.

    >>> Difference("words/all/right", first=0.25, second=0.75, low=0.1, high=0.9, count=20).difference
    0.5
    """

    name: str
    first: float
    second: float
    low: float | None
    high: float | None
    count: int
    better: int = 0
    worse: int = 0
    p: float | None = None
    unpaired: tuple[int, ...] = ()

    @property
    def difference(self) -> float:
        """Second less first."""
        return self.second - self.first


def write_scores(path: Path, scores: Mapping[str, Sequence[Score]]) -> None:
    """Write what every sample got, by metric.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "scores.jsonl"
    ...     write_scores(path, {"words": [Score(7, ("all",), {"right": 1.0})]})
    ...     list(read_scores(path))
    ['words/all/right']
    """
    lines = [
        json.dumps({"metric": metric, "query": s.query, "groups": list(s.groups), "values": dict(s.values)})
        for metric, own in scores.items()
        for s in own
    ]
    write_text(path, "".join(f"{line}\n" for line in lines))


def read_scores(path: Path) -> dict[str, dict[Question, float]]:
    """Read :func:`write_scores`: value by ``<metric>/<group>/<value>`` and question.

    Raises:
        anyloom.errors.CheckpointError: It is no such file.
    """
    found: dict[str, dict[Question, float]] = {}
    try:
        for line in filter(None, path.read_text(encoding="utf-8").split("\n")):
            record = json_value(line)
            for group in record["groups"]:
                for value, number in record["values"].items():
                    own = found.setdefault(f"{record['metric']}/{group}/{value}", {})
                    query = int(record["query"])
                    own[query, sum(known == query for known, _ in own)] = float(number)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"these are no scores of an evaluation ({error})"
        raise CheckpointError(what, where=str(path), fix="run 'anyloom evaluate' again") from error
    return found


def differences(first: Path, second: Path) -> list[Difference]:
    """Compare two folders that ``anyloom evaluate`` wrote.

    Args:
        first: What is compared with.
        second: What is compared.

    Returns:
        One for each measure that both have, in the order of the first.

    Raises:
        anyloom.errors.CheckpointError: A folder holds no evaluation, or they asked different questions.
    """
    one, other = (Results.read(folder / "results.json") for folder in (first, second))
    for fact in _ASKED:
        if one.facts.get(fact) != other.facts.get(fact):
            what = f"they asked different questions: {fact} is {one.facts.get(fact)!r} and {other.facts.get(fact)!r}"
            raise CheckpointError(what, where=f"{first}, {second}", fix="evaluate both with the same suite and seed")
    scores = [read_scores(folder / SCORES) for folder in (first, second)]
    return list(_compared(one, other, scores[0], scores[1]))


def in_one_only(first: Path, second: Path) -> list[str]:
    """Names of values that only one of two evaluations has, which are not compared.

    Raises:
        anyloom.errors.CheckpointError: A folder holds no evaluation.
    """
    one, other = (Results.read(folder / "results.json").values for folder in (first, second))
    return sorted(one.keys() ^ other.keys())


def _compared(one: Results, other: Results, first: Values, second: Values) -> Iterator[Difference]:
    for name, value in one.values.items():
        metric, _, measure = named_parts(name)
        if name not in other.values or f"{metric}/{measure}" not in one.measures:
            continue
        mine, theirs = first.get(name, {}), second.get(name, {})
        both = sorted(mine.keys() & theirs.keys())
        if both:
            missing = tuple(sorted(query for query, _ in mine.keys() ^ theirs.keys()))
            yield _paired(name, [(mine[q], theirs[q]) for q in both], missing)
            continue
        errors = (value.error, other.values[name].error)
        low = high = None
        if errors[0] is not None and errors[1] is not None:
            wide = NORMAL * math.hypot(errors[0], errors[1])
            middle = other.values[name].value - value.value
            low, high = middle - wide, middle + wide
        yield Difference(name, value.value, other.values[name].value, low, high, 0)


def _paired(name: str, pairs: Sequence[tuple[float, float]], unpaired: tuple[int, ...]) -> Difference:
    first, second = (sum(side) / len(pairs) for side in zip(*pairs))
    low, high = interval_of_mean([b - a for a, b in pairs])
    signs = SignTest.of((b, a) for a, b in pairs)
    decided = signs.wins + signs.losses
    p = min(1.0, 2 * probability_by_chance(max(signs.wins, signs.losses), decided)) if decided else 1.0
    return Difference(name, first, second, low, high, len(pairs), signs.wins, signs.losses, p, unpaired)
