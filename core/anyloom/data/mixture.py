"""The order of a run: a pure function from a position to a set, an index in it and a seed.

An epoch of a mixture is a fixed number of positions. Each set has a quota in it, an integer that follows its weight:
what rounding keeps from a set in one epoch it gets in a later one. Inside an epoch the sets take turns as evenly as
they can (steps of a golden ratio around a circle, on which each set has an arc as long as its quota), and each set is
read pass after pass, every pass in a new order and complete before the next begins.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from anyloom.data.order import Places, ShardShuffle, Shuffle, seed_of, seeds_of
from anyloom.data.shares import Quotas, weights_of
from anyloom.errors import ConfigError

__all__ = ["Draw", "Mixture", "Order", "Part", "Repeated", "weights_of"]

_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Part:
    """One set of a mixture.

    Args:
        name: Unique name; together with the mixture's seed it decides the set's order.
        size: Samples.
        weight: How often it is drawn, relative to the other sets.
        epochs: Passes after which it is not drawn any more; None for any number.
        max_samples: Use so many samples of it, always the same; None for all.
        shards: Ranges of indices that are read in sequence.
        ordered: Read from first to last, not shuffled.

    >>> Part("mine", 100, weight=1.0, epochs=2, max_samples=10).limit
    20
    """

    name: str
    size: int
    weight: float
    epochs: float | None = None
    max_samples: int | None = None
    shards: Sequence[range] = ()
    ordered: bool = False

    @property
    def used(self) -> int:
        """Samples of one pass."""
        return self.size if self.max_samples is None else min(self.size, self.max_samples)

    @property
    def limit(self) -> int | None:
        """Draws after which the set is over."""
        return None if self.epochs is None else round(self.epochs * self.used)


@dataclass(frozen=True)
class Draw:
    """What a position stands for.

    Args:
        position: The position.
        part: Number of the set.
        turn: Which pass over the set.
        index: Sample of the set.
        seed: Of the random choices about this sample in this pass.

    >>> draw = Mixture([Part("mine", 3, 3)], shuffle=False).draws(1, 2)[0]
    >>> draw.position, draw.part, draw.index
    (1, 0, 1)
    """

    position: int
    part: int
    turn: int
    index: int
    seed: int


class Order(Protocol):
    """What positions stand for.

    Attributes:
        epoch: Positions of an epoch.
        total: Positions in all; None for an order without end.
    """

    epoch: int
    total: int | None

    def draws(self, start: int, stop: int, *, rank: int = 0, world: int = 1) -> list[Draw]:
        """As :meth:`Mixture.draws`."""
        ...

    def with_seed(self, seed: int) -> Order:
        """The order that the same sets have with another seed."""
        ...


class Repeated:
    """The beginning of an order, over and over.

    Args:
        order: The order.
        count: Positions of its beginning, at most those of its first epoch.

    >>> first = Repeated(Mixture([Part("mine", 10, 10)], seed=1), 2)
    >>> [d.index for d in first.draws(0, 4)] == 2 * [d.index for d in first.draws(0, 2)]
    True
    """

    def __init__(self, order: Order, count: int) -> None:
        self.order, self.epoch = order, count
        self.total: int | None = None

    def draws(self, start: int, stop: int, *, rank: int = 0, world: int = 1) -> list[Draw]:
        """As :meth:`Mixture.draws`."""
        beginning = self.order.draws(0, self.epoch)
        positions = range(start + (rank - start) % world, stop, world)
        return [replace(beginning[p % self.epoch], position=p) for p in positions]

    def with_seed(self, seed: int) -> Repeated:
        """The beginning of the order that has another seed."""
        return Repeated(self.order.with_seed(seed), self.epoch)


class Mixture:
    """Sets of samples in one order.

    Args:
        parts: The sets. Those without samples are never drawn.
        seed: Of the order.
        shuffle: False gives set after set, from first to last sample, once.
        epoch: Positions of an epoch; as many as there are samples by default.

    Raises:
        anyloom.errors.ConfigError: An epoch is longer than 2**31 positions.

    >>> mixture = Mixture([Part("many", 6, 2.0), Part("few", 3, 1.0)], seed=1)
    >>> draws = mixture.draws(0, mixture.epoch)
    >>> [sum(d.part == part for d in draws) for part in (0, 1)]
    [6, 3]
    >>> sorted(d.index for d in draws if d.part == 1)  # each once
    [0, 1, 2]
    """

    def __init__(self, parts: Sequence[Part], *, seed: int = 0, shuffle: bool = True, epoch: int | None = None) -> None:
        self.parts, self.seed, self.shuffle = list(parts), seed, shuffle
        sizes = [p.used if p.weight > 0 else 0 for p in parts]
        self.epoch = sum(sizes) if epoch is None or not shuffle else epoch
        limits = [p.limit if size else 0 for p, size in zip(parts, sizes)]
        finite = [limit for limit in limits if limit is not None]
        self.total: int | None = sum(finite) if len(finite) == len(parts) else None
        if not shuffle:
            self.total = self.epoch = sum(p.used for p in parts)
        if self.epoch >= 1 << 31:
            raise ConfigError(f"{self.epoch} samples are too many for an epoch", fix="set data.epoch_samples")
        self._quotas = Quotas([Fraction(p.weight) if size else Fraction(0) for p, size in zip(parts, sizes)], limits)
        self._orders: dict[tuple[int, int], Callable[[Places], Places]] = {}

    def draws(self, start: int, stop: int, *, rank: int = 0, world: int = 1) -> list[Draw]:
        """Return what the positions from ``start`` to before ``stop`` stand for; fewer at the end of a finite order.

        Args:
            start: First position.
            stop: Position after the last.
            rank: Return only every ``world``-th position, those that leave this remainder.
            world: See ``rank``.
        """
        if self.total is not None:
            stop = min(stop, self.total)
        found: list[Draw] = []
        while start < stop:
            epoch = start // self.epoch
            end = min(stop, (epoch + 1) * self.epoch)
            positions = np.arange(start, end)
            mine = positions % world == rank
            found += self._in_epoch(epoch, positions, mine) if self.shuffle else self._in_sequence(positions[mine])
            start = end
        return found

    def with_seed(self, seed: int) -> Mixture:
        """The same mixture in the order of another seed."""
        return Mixture(self.parts, seed=seed, shuffle=self.shuffle, epoch=self.epoch)

    def drawn(self, position: int) -> list[int]:
        """Return how often each set has been drawn before a position of a shuffled order."""
        epoch = position // self.epoch
        before, quotas = self._quotas(epoch, self.epoch)
        count = position - epoch * self.epoch
        return [b + n for b, n in zip(before, self._earlier(epoch, quotas, count))]

    def _in_sequence(self, places: Places) -> list[Draw]:
        edges = np.cumsum([0, *(p.used for p in self.parts)])
        parts = np.searchsorted(edges, places, side="right") - 1
        seeds = seeds_of(seed_of(self.seed, "sequence"), places)
        return [
            Draw(*row) for row in zip(*(a.tolist() for a in (places, parts, places * 0, places - edges[parts], seeds)))
        ]

    def _in_epoch(self, epoch: int, positions: Places, mine: NDArray[np.bool_]) -> list[Draw]:
        before, quotas = self._quotas(epoch, self.epoch)
        length = sum(quotas)
        step, shift = self._circle(epoch, length)
        turns = positions - epoch * self.epoch
        # exact: all factors are below 2**31, which the epoch's length is held to
        slots = (turns * step + shift) % length
        parts = np.searchsorted(np.cumsum(quotas), slots, side="right")
        earlier = self._earlier(epoch, quotas, int(turns[0]))
        found: list[Draw] = []
        for part in np.unique(parts[mine]).tolist():
            here = parts == part
            counts = before[part] + earlier[part] + np.arange(np.count_nonzero(here))
            found += self._of_part(part, positions[here & mine], counts[mine[here]])
        return sorted(found, key=lambda draw: draw.position)

    def _circle(self, epoch: int, length: int) -> tuple[int, int]:
        return _step(length), seed_of(self.seed, epoch, "shift") % max(1, length)

    def _earlier(self, epoch: int, quotas: Sequence[int], count: int) -> list[int]:
        """How often each set is drawn at the first positions of an epoch."""
        length = sum(quotas)
        step, shift = self._circle(epoch, length)
        edges = [0, *itertools.accumulate(quotas)]
        below = [_below(count, step, shift, length, edge) for edge in edges] if length else [0] * len(edges)
        return [b - a for a, b in itertools.pairwise(below)]

    def _of_part(self, part: int, positions: Places, counts: Places) -> list[Draw]:
        used = self.parts[part].used
        turns, places = counts // used, counts % used
        found: list[Draw] = []
        for turn in np.unique(turns).tolist():
            here = turns == turn
            indices = self._order(part, turn)(places[here])
            seeds = seeds_of(seed_of(self.seed, self.parts[part].name, turn), indices)
            rows = zip(positions[here].tolist(), indices.tolist(), seeds.tolist())
            found += [Draw(position, part, turn, index, seed) for position, index, seed in rows]
        return found

    def _order(self, part: int, turn: int) -> Callable[[Places], Places]:
        """The order of a pass; the last few are kept."""
        if (part, turn) not in self._orders:
            while len(self._orders) > 2 * len(self.parts):
                self._orders.pop(next(iter(self._orders)))
            self._orders[part, turn] = self._new_order(self.parts[part], turn)
        return self._orders[part, turn]

    def _new_order(self, part: Part, turn: int) -> Callable[[Places], Places]:
        seed = seed_of(self.seed, part.name, turn, "order")
        several = len(part.shards) > 1
        if part.ordered:
            return lambda places: places
        if part.used == part.size:
            return ShardShuffle(part.shards, seed) if several else Shuffle(part.size, seed)
        fixed = seed_of(self.seed, part.name, "chosen")
        chosen = ShardShuffle(part.shards, fixed) if several else Shuffle(part.size, fixed)
        order = Shuffle(part.used, seed)
        return lambda places: chosen(order(places))


def _step(length: int) -> int:
    """The number nearest above the golden share of a length that has no factor in common with it."""
    step = max(1, int(length * _GOLDEN))
    while math.gcd(step, length) != 1:
        step += 1
    return step


def _below(count: int, step: int, shift: int, length: int, bound: int) -> int:
    """How many of ``(n * step + shift) % length`` for ``n < count`` are below ``bound``.

    One is where adding ``length - bound`` does not carry over to the next multiple of ``length``.
    """
    return count + _floor_sum(count, length, step, shift) - _floor_sum(count, length, step, shift + length - bound)


def _floor_sum(count: int, divisor: int, factor: int, shift: int) -> int:
    """The sum of ``(factor * n + shift) // divisor`` for ``n < count``, in the steps of Euclid's algorithm."""
    total = 0
    while count > 0:
        total += (count - 1) * count // 2 * (factor // divisor) + count * (shift // divisor)
        factor, shift = factor % divisor, shift % divisor
        highest = factor * count + shift
        if highest < divisor:
            break
        count, shift, factor, divisor = highest // divisor, highest % divisor, divisor, factor
    return total
