"""A loader that can stop in the middle of an epoch and go on where it was.

A plain ``DataLoader`` resumed mid-epoch silently repeats batches. This one has a ``state_dict`` that Lightning saves
with its checkpoint. Batches of similar length come from buckets: several batches' worth of samples are drawn,
sorted by length, cut and shuffled as batches, so padding is small and order stays random.
Nothing is drawn from the global random generators.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from anyloom.errors import AnyloomError
from anyloom.interfaces.dataset import Sample, Samples

__all__ = ["ResumableLoader"]


class ResumableLoader:
    """Iterates over the samples of one split, epoch after epoch.

    Args:
        build: Gives the samples of an epoch.
        collate: Makes a batch of samples; if it has a ``length(sample)``, buckets sort by it.
        batch_size: Samples per batch.
        shuffle: Draw in random order, anew each epoch.
        seed: Of the order.
        bucket: Batches per bucket.
        workers: Worker processes.
        rank: This process among ``world``; each takes every ``world``-th sample.
        world: Number of processes.
    """

    def __init__(
        self,
        build: Callable[[int], Samples],
        collate: Callable[[list[Sample]], Any],
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        bucket: int = 1,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.build, self.collate, self.batch_size = build, collate, batch_size
        self.shuffle, self.seed, self.bucket = shuffle, seed, max(1, bucket)
        self.workers, self.rank, self.world = workers, rank, world
        self.epoch = 0
        self.done = 0
        self._begun = False
        self._built: tuple[int, Samples] | None = None

    def samples(self) -> Samples:
        """The samples of the present epoch."""
        if self._built is None or self._built[0] != self.epoch:
            self._built = self.epoch, self.build(self.epoch)
        return self._built[1]

    def __len__(self) -> int:
        count = len(self.samples())
        if self.shuffle:
            return count // (self.world * self.batch_size)
        return -(-len(range(self.rank, count, self.world)) // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """Batches of the next epoch; after :meth:`load_state_dict` the rest of the epoch that was left."""
        self._begin()
        first, skip = self.done // self.bucket, self.done % self.bucket
        samples = self.samples()
        inner = DataLoader(
            _AsDataset(samples),
            batch_sampler=self._groups(len(samples))[first:],
            collate_fn=_Bucket(self.collate, self.batch_size, self.shuffle, f"{self.seed}/{self.epoch}"),
            num_workers=self.workers,
            generator=torch.Generator().manual_seed(self.seed + self.epoch),  # else it draws from the global one
        )
        for batches in inner:
            if isinstance(batches, AnyloomError):
                raise batches
            for batch in batches[skip:]:
                self.done += 1
                yield batch
            skip = 0

    def _begin(self) -> None:
        """Move on to where this pass starts. Without shuffling every pass is the whole first epoch."""
        if not self.shuffle:
            self.done = 0
        elif self._begun or self.done >= len(self):
            self.epoch, self.done = self.epoch + 1, 0
        self._begun = True

    def _groups(self, count: int) -> list[list[int]]:
        """Indices of each bucket. When shuffling, all processes get equally many and a ragged end is left out."""
        order = list(range(count))
        if self.shuffle:
            random.Random(f"{self.seed}/{self.epoch}").shuffle(order)
            order = order[: count // (self.world * self.batch_size) * self.world * self.batch_size]
        mine, size = order[self.rank :: self.world], self.bucket * self.batch_size
        return [mine[i : i + size] for i in range(0, len(mine), size)]

    def state_dict(self) -> dict[str, int]:
        """Epoch and batches already given in it."""
        return {"epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on after the batches that were given before."""
        self.epoch, self.done, self._begun = state["epoch"], state["done"], False


@dataclass
class _Bucket:
    """Cuts the samples of a bucket into batches of similar length.

    A deliberate error is returned, to be raised in the main process: of one that is raised in a worker, torch keeps
    the class alone and makes a traceback its text.
    """

    collate: Callable[[list[Sample]], Any]
    batch_size: int
    shuffle: bool
    seed: str

    def __call__(self, drawn: list[tuple[int, Sample | AnyloomError]]) -> list[Any] | AnyloomError:
        samples = [sample for _, sample in drawn if not isinstance(sample, AnyloomError)]
        errors = [error for _, error in drawn if isinstance(error, AnyloomError)]
        try:
            return errors[0] if errors else self._batches(samples, drawn[0][0])
        except AnyloomError as error:
            return error

    def _batches(self, samples: list[Sample], first: int) -> list[Any]:
        length: Callable[[Sample], int] | None = getattr(self.collate, "length", None)
        if self.shuffle and length is not None and len(samples) > self.batch_size:
            samples = sorted(samples, key=length)
        cut = [samples[i : i + self.batch_size] for i in range(0, len(samples), self.batch_size)]
        if self.shuffle:
            random.Random(f"{self.seed}/{first}").shuffle(cut)
        return [self.collate(c) for c in cut]


class _AsDataset(Dataset[tuple[int, Sample | AnyloomError]]):
    def __init__(self, samples: Samples | Sequence[Sample]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[int, Sample | AnyloomError]:
        try:
            return index, self.samples[index]
        except AnyloomError as error:
            return index, error
