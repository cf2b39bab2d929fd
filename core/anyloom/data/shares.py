"""How often each set of a mixture is drawn: shares by weight, and whole numbers of samples for each epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

__all__ = ["Quotas", "weights_of"]


class Quotas:
    """How many samples of each set an epoch has, and how many it had before.

    Args:
        weights: Of the sets.
        limits: Draws after which a set is over; None for never.

    >>> quotas = Quotas([Fraction(2, 3), Fraction(1, 3)], [None, None])
    >>> quotas(epoch=0, length=3)
    ([0, 0], [2, 1])
    >>> quotas(epoch=1, length=3)
    ([2, 1], [2, 1])
    """

    def __init__(self, weights: Sequence[Fraction], limits: Sequence[int | None]) -> None:
        self.weights, self.limits = weights, limits
        self._drawn = [[0] * len(weights)]
        self._owed = [Fraction(0)] * len(weights)

    def __call__(self, epoch: int, length: int) -> tuple[list[int], list[int]]:
        """Return draws before an epoch, and in it. The last epoch of a finite mixture is shorter."""
        while len(self._drawn) < epoch + 2:
            quotas = self._next(length)
            self._drawn.append([a + b for a, b in zip(self._drawn[-1], quotas)])
        before, after = self._drawn[epoch : epoch + 2]
        return before, [b - a for a, b in zip(before, after)]

    def _next(self, length: int) -> list[int]:
        left = [length if limit is None else limit - done for limit, done in zip(self.limits, self._drawn[-1])]
        given = [0] * len(left)
        # a set that is over leaves its share to the others: hence rounds, until the epoch is full or all are over
        while (rest := length - sum(given)) and (open_ := [n for n, w in enumerate(self.weights) if w and left[n]]):
            whole = sum(self.weights[n] for n in open_)
            wanted = {n: self._owed[n] + rest * self.weights[n] / whole for n in open_}
            taken = dict.fromkeys(open_, 0)
            for n in open_:
                taken[n] = max(0, min(math.floor(wanted[n]), left[n], rest))
                rest -= taken[n]
            for n in sorted(open_, key=lambda n: (taken[n] - wanted[n], n)):
                if rest and taken[n] < left[n]:
                    taken[n] += 1
                    rest -= 1
            for n in open_:
                given[n] += taken[n]
                left[n] -= taken[n]
                self._owed[n] = wanted[n] - taken[n] if left[n] else Fraction(0)
        return given


def weights_of(sizes: Sequence[int], weights: Sequence[float | None], temperature: float) -> list[float]:
    """Return how often each set is drawn.

    Without any weight that is its size; with one, sets that have none get 1. A temperature above 1 makes the shares
    more even: ``share ** (1 / temperature)`` (Arivazhagan et al. 2019, section 4.2).

    Args:
        sizes: Samples of each set.
        weights: As given.
        temperature: Above 0.

    >>> weights_of([90, 10], [None, None], 1.0)
    [90.0, 10.0]
    >>> weights_of([90, 10], [None, 3.0], 1.0)
    [1.0, 3.0]
    >>> weights_of([100, 1], [None, None], 2.0)
    [10.0, 1.0]
    """
    given = [float(s) if all(w is None for w in weights) else 1.0 if w is None else w for s, w in zip(sizes, weights)]
    if temperature == 1:
        return given
    # rounded, so that the last bit of a power, which differs between machines, cannot change an order
    return [round(w ** (1 / temperature), 9) for w in given]
