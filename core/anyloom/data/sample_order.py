"""What a loader is given: sets of samples in an order, and how batches are made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from anyloom.data.mixture import Mixture, Order, Part
from anyloom.data.reading import SampleSet
from anyloom.interfaces.dataset import Samples

__all__ = ["Batching", "SampleOrder"]


@dataclass(frozen=True)
class Batching:
    """How batches are made of samples.

    Args:
        size: Samples of a batch; rows, if they are packed.
        bucket: Batches of a window in which samples are sorted by length; 1 leaves them as they come.
        tokens: Cells of a batch, padding included, in place of a number of samples.
        pack: Positions of a row that is filled up with samples; None for a row for each sample.
        look_ahead: Samples among which packing seeks those that fit.

    >>> Batching(4, bucket=8).size
    4
    """

    size: int
    bucket: int = 1
    tokens: int | None = None
    pack: int | None = None
    look_ahead: int = 512


@dataclass(frozen=True)
class SampleOrder:
    """Sets of samples, and the order they are drawn in.

    Args:
        sets: The sets.
        order: The order; its draws name a set by number.
        seed: Of the order.
        shuffle: Whether it goes on without end; else a pass is all samples from first to last.

    >>> order = SampleOrder.of(lambda epoch: ["a", "b", "c"], shuffle=False)
    >>> [order.sets[d.part].read(d) for d in order.order.draws(0, 3)]
    ['a', 'b', 'c']
    """

    sets: Sequence[SampleSet]
    order: Order
    seed: int = 0
    shuffle: bool = True

    def with_seed(self, seed: int) -> SampleOrder:
        """The same sets in the order of another seed."""
        return replace(self, order=self.order.with_seed(seed), seed=seed)

    @staticmethod
    def of(build: Callable[[int], Samples], *, shuffle: bool = True, seed: int = 0) -> SampleOrder:
        """Return the order of a single set.

        Args:
            build: Gives the samples of a pass.
            shuffle: Every pass in a new random order.
            seed: Of the order.
        """
        samples = SampleSet("samples", build)
        first = samples.samples()
        part = Part("samples", len(first), len(first), shards=getattr(first, "shards", ()))
        return SampleOrder([samples], Mixture([part], seed=seed, shuffle=shuffle), seed, shuffle)
