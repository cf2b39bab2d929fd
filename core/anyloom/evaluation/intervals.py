"""95 % intervals of means and shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch

__all__ = ["NORMAL", "interval_of_mean", "interval_of_share"]

NORMAL: Final = 1.959964
"""Standard errors on each side of a normal estimate that hold 95 %."""

_RESAMPLES: Final = 10_000
_LEVEL: Final = 0.95


def interval_of_mean(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of a mean by the percentile bootstrap (Efron 1979): 10,000 resamples, the same every time.

    >>> interval_of_mean([0.5, 0.5, 0.5])
    (0.5, 0.5)
    """
    data = torch.tensor(values, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    # The mean of a resample depends on how often each value is drawn alone: a few at a time bound the memory.
    means = [
        data[torch.randint(len(data), (100, len(data)), generator=generator)].mean(1) for _ in range(_RESAMPLES // 100)
    ]
    tail = (1 - _LEVEL) / 2
    low, high = torch.cat(means).quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return float(low), float(high)


def interval_of_share(share: float, count: float) -> tuple[float, float]:
    """95 % interval of a share of some samples (Wilson 1927, without correction).

    Args:
        share: Share, 0 to 1.
        count: Samples, 1 at least.

    >>> [round(end, 3) for end in interval_of_share(1.0, 10)]
    [0.722, 1.0]
    """
    square = NORMAL**2
    centre = share + square / (2 * count)
    spread = NORMAL * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    scale = 1 + square / count
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
