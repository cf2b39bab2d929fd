"""A loader that can stop in the middle of an epoch and go on where it was.

A plain ``DataLoader`` resumed mid-epoch silently repeats batches. This one has a ``state_dict`` that Lightning saves
with its checkpoint. Batches of similar length come from buckets: several batches' worth of samples are drawn,
sorted by length, cut and shuffled as batches, so padding is small and order stays random.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, Dataset

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

    def __len__(self) -> int:
        count = len(self.build(self.epoch)) // self.world if self.shuffle else self._my_share(self.epoch)
        return count // self.batch_size if self.shuffle else -(-count // self.batch_size)

    def _my_share(self, epoch: int) -> int:
        return len(range(self.rank, len(self.build(epoch)), self.world))

    def __iter__(self) -> Iterator[Any]:
        samples = self.build(self.epoch)
        groups = self._groups(len(samples))
        skip = self.done
        first, skip = skip // self.bucket, skip % self.bucket
        inner = DataLoader(
            _AsDataset(samples),
            batch_sampler=groups[first:],
            collate_fn=_Bucket(self.collate, self.batch_size, self.shuffle, self.seed + self.epoch),
            num_workers=self.workers,
        )
        for batches in inner:
            for batch in batches[skip:]:
                self.done += 1
                yield batch
            skip = 0
        self.epoch, self.done = self.epoch + 1, 0

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
        self.epoch, self.done = state["epoch"], state["done"]


@dataclass
class _Bucket:
    """Cuts the samples of a bucket into batches of similar length."""

    collate: Callable[[list[Sample]], Any]
    batch_size: int
    shuffle: bool
    seed: int

    def __call__(self, samples: list[Sample]) -> list[Any]:
        length: Callable[[Sample], int] | None = getattr(self.collate, "length", None)
        if self.shuffle and length is not None and len(samples) > self.batch_size:
            samples = sorted(samples, key=length)
        cut = [samples[i : i + self.batch_size] for i in range(0, len(samples), self.batch_size)]
        if self.shuffle:
            random.Random(self.seed * 1_000_003 + len(samples[0].task)).shuffle(cut)
        return [self.collate(c) for c in cut]


class _AsDataset(Dataset[Sample]):
    def __init__(self, samples: Samples | Sequence[Sample]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]
