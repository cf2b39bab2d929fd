"""Kernel distance (KID): squared maximum mean discrepancy of features under a polynomial kernel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from anyloom.errors import FeatureSpaceError, MediaError
from anyloom_metrics.functional.checks import require_features, require_number

__all__ = ["KernelDistance", "kernel_distance", "squared_mmd"]


class KernelDistance(NamedTuple):
    """Mean over subsets and their population standard deviation."""

    mean: float
    std: float


def squared_mmd(x: Tensor, y: Tensor, *, degree: int = 3, offset: float = 1.0) -> Tensor:
    """Unbiased squared MMD under ``(x . y / D + offset) ** degree``; may be negative.

    Args:
        x: Features ``(N, D)``, N at least 2.
        y: Features ``(M, D)``, M at least 2.
        degree: Of the polynomial.
        offset: Of the polynomial.

    Returns:
        A scalar, float64.

    >>> x = torch.tensor([[0.0], [1.0]])
    >>> squared_mmd(x, x + 5) > squared_mmd(x, x)
    tensor(True)
    """
    first, second = (require_features(f, name=n, at_least=2) for f, n in ((x, "x"), (y, "y")))
    if first.shape[1] != second.shape[1]:
        raise FeatureSpaceError(f"features of width {first.shape[1]} and {second.shape[1]} cannot be compared")

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + offset) ** degree

    within = 0.0 * first.sum()
    for rows in (first, second):
        own = kernel(rows, rows)
        within = within + (own.sum() - own.diagonal().sum()) / (len(rows) * (len(rows) - 1))
    return within - 2 * kernel(first, second).mean()


def kernel_distance(
    x: Tensor, y: Tensor, *, subsets: int = 100, subset_size: int = 1000, seed: int = 2020
) -> KernelDistance:
    """Kernel distance over random subsets (Binkowski et al., arXiv 1801.01401); lower is better.

    The draws are those of torch-fidelity and audioldm_eval: for each subset first of ``x``, then of ``y``, without
    replacement.

    Args:
        x: Features ``(N, D)``, generated.
        y: Features ``(M, D)``, reference.
        subsets: Number of subsets.
        subset_size: Samples per subset.
        seed: Of numpy's legacy generator.

    Raises:
        anyloom.errors.MediaError: A set is smaller than a subset.
        anyloom.errors.ConfigError: There are no subsets, or subsets of one.

    >>> x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    >>> near, far = (kernel_distance(x, x + shift, subsets=5, subset_size=10) for shift in (0.1, 2.0))
    >>> near.mean < far.mean
    True
    """
    require_number(subsets, name="subsets", least=1, whole=True)
    require_number(subset_size, name="subset_size", least=2, whole=True)
    x, y = (require_features(f, name=n, at_least=2) for f, n in ((x, "x"), (y, "y")))
    if (smallest := min(len(x), len(y))) < subset_size:
        raise MediaError(
            f"{smallest} samples are fewer than a subset of {subset_size}", fix="give a smaller subset_size"
        )
    generator = np.random.RandomState(seed)
    scores = []
    for _ in range(subsets):
        first, second = (
            f[torch.from_numpy(generator.choice(len(f), subset_size, replace=False)).to(f.device)] for f in (x, y)
        )
        scores.append(float(squared_mmd(first, second)))
    return KernelDistance(float(np.mean(scores)), float(np.std(scores)))
