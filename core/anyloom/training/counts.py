"""What the terms of an optimizer step are divided by: counts over all its batches and processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["summed_counts"]


def summed_counts(batches: Sequence[dict[str, int]], names: Sequence[str], device: torch.device) -> dict[str, float]:
    """Counts of every term over the batches of a step and over all processes.

    Args:
        batches: Counts of each batch of this process.
        names: Every term there can be, in the same order in every process.
        device: Where processes exchange tensors.

    >>> batches = [{"text": 7, "feature/picture": 1}, {"text": 5}]
    >>> summed_counts(batches, ["text", "feature/picture"], torch.device("cpu"))
    {'text': 12.0, 'feature/picture': 1.0}
    """
    sums = torch.tensor([sum(b.get(name, 0) for b in batches) for name in names], dtype=torch.float64)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        sums = sums.to(device, torch.float32 if device.type == "mps" else torch.float64)
        torch.distributed.all_reduce(sums)
    return dict(zip(names, sums.tolist()))
