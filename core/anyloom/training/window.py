"""Batches of one optimizer step: each knows what the terms of the whole step are divided by.

With gradient accumulation a step sees several batches. A mean of their means would weigh an answer of two tokens like
one of eighty, so the counts of all of them have to be known before the first is gone through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from anyloom.sequence.batch import Batch

__all__ = ["StepWindows", "summed_counts"]


class StepWindows:
    """Hands out the batches of a loader, those of one optimizer step with the counts of all of them.

    Args:
        loader: Gives batches; one that resumes has ``state_dict`` and ``load_state_dict``.
        size: Batches per optimizer step; the last step of an epoch may have fewer.
    """

    def __init__(self, loader: Any, size: int) -> None:
        self.loader, self.size = loader, size
        self._given = 0
        self._state: dict[str, Any] | None = None

    def __getattr__(self, name: str) -> Any:
        if name == "loader":  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.loader, name)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        """Batches; :attr:`anyloom.sequence.batch.Batch.step_counts` of each is filled in."""
        first = self._given % self.size
        waiting: list[tuple[Any, Any]] = []
        source = iter(self.loader)
        while True:
            for batch in source:
                waiting.append((batch, self._position()))
                if len(waiting) == self.size - first:
                    break
            if not waiting:
                break
            counts = [b.counts() for b, _ in waiting if isinstance(b, Batch)]
            for batch, state in waiting:
                if isinstance(batch, Batch):
                    batch.step_counts = counts
                # A checkpoint must not skip what has been drawn ahead but not handed out.
                self._given, self._state = self._given + 1, state
                yield batch
            waiting, first = [], 0
        self._given = 0

    def _position(self) -> Any:
        return self.loader.state_dict() if hasattr(self.loader, "state_dict") else None

    def state_dict(self) -> dict[str, Any]:
        """The loader's state after the last batch that was handed out, and that batch's number in its epoch."""
        return {"given": self._given, "loader": self._state if self._state is not None else self._position()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the batch of :meth:`state_dict`."""
        self._given, self._state = state["given"], state["loader"]
        self.loader.load_state_dict(state["loader"])


def summed_counts(batches: Sequence[dict[str, int]], names: Sequence[str], device: torch.device) -> dict[str, float]:
    """Counts of every term over the batches of a step and over all processes.

    Args:
        batches: Counts of each batch of this process.
        names: Every term there can be, in the same order in every process.
        device: Where processes exchange tensors.
    """
    sums = torch.tensor([sum(b.get(name, 0) for b in batches) for name in names], dtype=torch.float64)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        sums = sums.to(device, torch.float32 if device.type == "mps" else torch.float64)
        torch.distributed.all_reduce(sums)
    return dict(zip(names, sums.tolist()))
