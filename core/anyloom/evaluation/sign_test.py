"""Is one way of asking better than another? Counts queries, so it needs no model of the values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import comb

from anyloom.interfaces.metric import Score

__all__ = ["SignTest", "compare", "probability_by_chance"]


@dataclass(frozen=True)
class SignTest:
    """Outcome of a sign test.

    Args:
        wins: Queries on which the first is better.
        losses: Queries on which it is worse.
        ties: Queries on which both are equal; they do not count.
        p: Probability of so many wins or more if a coin decided each win or loss.
    """

    wins: int
    losses: int
    ties: int
    p: float

    @classmethod
    def of(cls, pairs: Iterable[tuple[float, float]]) -> SignTest:
        """Test whether the first numbers of pairs are larger.

        >>> SignTest.of([(1.0, 0.0)] * 5 + [(0.0, 0.0)])
        SignTest(wins=5, losses=0, ties=1, p=0.03125)
        """
        signs = [(a > b) - (a < b) for a, b in pairs]
        wins, losses = signs.count(1), signs.count(-1)
        return cls(wins, losses, signs.count(0), probability_by_chance(wins, wins + losses))


def probability_by_chance(wins: int, n: int) -> float:
    """Exact one-sided binomial probability of ``wins`` or more heads in ``n`` throws of a fair coin.

    >>> probability_by_chance(0, 0), probability_by_chance(9, 10) == 11 / 1024
    (1.0, True)
    """
    return float(sum(comb(n, i) for i in range(wins, n + 1)) / 2**n)


def compare(scores: Iterable[Score], value: str, better: str, than: str, *, lower: bool = False) -> SignTest:
    """Test whether a value is better in one group than in another, on the queries that both have.

    Args:
        scores: What each sample got.
        value: Name of the value.
        better: Group that is expected to be better.
        than: The other group.
        lower: Whether smaller values are better.

    >>> scores = [Score(q, (group,), {"right": group == "two"}) for q in range(3) for group in ("one", "two")]
    >>> found = compare(scores, "right", better="two", than="one")
    >>> found
    SignTest(wins=3, losses=0, ties=0, p=0.125)
    """
    found: dict[str, dict[int, float]] = {better: {}, than: {}}
    for score in scores:
        for group, values in found.items():
            if group in score.groups and value in score.values:
                values[score.query] = score.values[value]
    return SignTest.of(_pairs(found[better], found[than], -1.0 if lower else 1.0))


def _pairs(first: Mapping[int, float], second: Mapping[int, float], sign: float) -> list[tuple[float, float]]:
    return [(sign * first[query], sign * second[query]) for query in first if query in second]
