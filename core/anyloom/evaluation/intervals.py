"""95 % intervals of means and shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch

__all__ = ["EXPLAINED", "NORMAL", "interval_of", "interval_of_mean", "interval_of_share"]

NORMAL: Final = 1.959964
"""Standard errors on each side of a normal estimate that hold 95 %."""

EXPLAINED: Final = (
    "In brackets the 95 % interval: Wilson's where each sample is right or wrong, else 1.96 standard errors each way."
)
"""What tables say of their intervals."""

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


def interval_of(value: float, error: float | None, count: int, *, share: bool) -> tuple[float, float] | None:
    """95 % interval of a measured value; None where nothing is known of its spread.

    A share of samples that are right or wrong is told by its standard error, sqrt(p (1 - p) / (n - 1)): it has Wilson's
    interval, which is no point where all samples agree. Any other value has the normal one, within 0 and 1 if it is a
    share.

    Args:
        value: The value.
        error: Its standard error.
        count: Samples behind it; 0 if unknown.
        share: Whether it lies between 0 and 1 and is the mean of values that do.

    >>> [round(end, 3) for end in interval_of(0.5, 0.5 / 9**0.5, 10, share=True)]
    [0.237, 0.763]
    >>> [round(end, 3) for end in interval_of(0.5, 0.1, 10, share=True)]
    [0.304, 0.696]
    >>> interval_of(0.01, 0.01, 60, share=True)[0]
    0.0
    """
    if share and 0 <= value <= 1 and count > 0:
        of_share = math.sqrt(value * (1 - value) / max(count - 1, 1))
        known = 0.0 if error is None and count == 1 and value in (0, 1) else error
        if known is not None and math.isclose(known, of_share, rel_tol=1e-3, abs_tol=1e-6):
            return interval_of_share(value, count)
    if error is None:
        return None
    low, high = value - NORMAL * error, value + NORMAL * error
    return (max(low, 0.0), min(high, 1.0)) if share and 0 <= value <= 1 else (low, high)
