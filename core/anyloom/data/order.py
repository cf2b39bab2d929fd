"""Seeded permutations that need no memory: any place of them is computed, for whole arrays of places at once.

All arithmetic is on integers, so that the same seed gives the same order on every machine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["ShardShuffle", "Shuffle", "seed_of", "seeds_of"]

_ROUNDS = 6
_WINDOW = 8
"""Shards that are read at the same time."""

Places = NDArray[np.int64]


def seed_of(*parts: object) -> int:
    """Return a seed, ``0 <= seed < 2**63``, that depends on all parts.

    >>> seed_of(0, "cats") == seed_of(0, "cats") != seed_of(1, "cats")
    True
    """
    text = "\0".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()) >> 1


def seeds_of(seed: int, numbers: Places) -> Places:
    """Return a seed for each number, as :func:`seed_of` does for one set of parts.

    >>> len(set(seeds_of(7, np.arange(100)).tolist()))
    100
    """
    return (_scrambled(numbers.astype(np.uint64) ^ np.uint64(seed)) >> np.uint64(1)).astype(np.int64)


class Shuffle:
    """A permutation of ``range(size)``: a Feistel network on the cells of a rectangle (Black and Rogaway 2002).

    The rectangle has ``rows * columns >= size`` cells, at most one row more than needed; a place that falls on a cell
    beyond the size is sent through the network again until it does not.

    Args:
        size: Number of places.
        seed: Which permutation.

    >>> sorted(Shuffle(5, seed=1)(np.arange(5)).tolist())
    [0, 1, 2, 3, 4]
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.columns = max(1, math.isqrt(max(0, size - 1)) + 1)
        self.rows = max(1, -(-size // self.columns))
        self._keys = [np.uint64(seed_of(seed, r)) for r in range(_ROUNDS)]

    def __call__(self, places: Places) -> Places:
        """Return where each place goes.

        Args:
            places: Places ``(N,)``, each from 0 to ``size - 1``.
        """
        found = self._network(places.astype(np.uint64))
        outside = np.flatnonzero(found >= self.size)
        while len(outside):
            found[outside] = self._network(found[outside])
            outside = outside[found[outside] >= self.size]
        return found.astype(np.int64)

    def _network(self, cells: NDArray[np.uint64]) -> NDArray[np.uint64]:
        rows, columns = np.uint64(self.rows), np.uint64(self.columns)
        row, column = cells // columns, cells % columns
        for n, key in enumerate(self._keys):
            if n % 2:
                row = (row + _scrambled(column ^ key) % rows) % rows
            else:
                column = (column + _scrambled(row ^ key) % columns) % columns
        return row * columns + column


class ShardShuffle:
    """A permutation that stays near a few shards at a time, for sources that are read in sequence.

    Shards come in random order; those that come together, eight of them, are shuffled as one.

    Args:
        shards: Ranges that cover ``range(size)``.
        seed: Which permutation.

    >>> order = ShardShuffle([range(0, 4), range(4, 8)], seed=1)
    >>> sorted(order(np.arange(8)).tolist())
    [0, 1, 2, 3, 4, 5, 6, 7]
    """

    def __init__(self, shards: Sequence[range], seed: int) -> None:
        order = Shuffle(len(shards), seed_of(seed, "shards"))(np.arange(len(shards)))
        self._starts = np.array([s.start for s in shards], np.int64)[order]
        self._edges = np.concatenate([[0], np.cumsum(np.array([len(s) for s in shards], np.int64)[order])])
        self.size, self.seed = int(self._edges[-1]), seed

    def __call__(self, places: Places) -> Places:
        """Return where each place goes.

        Args:
            places: Places ``(N,)``, each from 0 to ``size - 1``.
        """
        window_edges = self._edges[:-1:_WINDOW]
        windows = np.searchsorted(window_edges, places, side="right") - 1
        found = np.empty_like(places)
        for window in np.unique(windows):
            begin = int(window_edges[window])
            end = int(self._edges[min((int(window) + 1) * _WINDOW, len(self._edges) - 1)])
            here = windows == window
            inside = begin + Shuffle(end - begin, seed_of(self.seed, int(window)))(places[here] - begin)
            shard = np.searchsorted(self._edges, inside, side="right") - 1
            found[here] = self._starts[shard] + inside - self._edges[shard]
        return found


def _scrambled(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of each value (the finaliser of splitmix64, Steele et al. 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
