"""The Frechet distance between two sets of features: FID, FD, FAD and FVD are this, with other features."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from anyloom.errors import FeatureSpaceError
from anyloom_metrics.functional.checks import require_features

__all__ = ["FADInfinity", "Statistics", "covariance_problem", "frechet_distance", "frechet_distance_at_infinity"]


class Statistics(NamedTuple):
    """Mean and covariance of features, as published reference statistics hold them.

    Args:
        mean: ``(D,)``.
        covariance: ``(D, D)``, with the divisor N - 1.
    """

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Statistics:
        """Statistics of features ``(N, D)``, in float64."""
        rows = require_features(features, name="features", at_least=2)
        return cls(rows.mean(0), torch.cov(rows.T).reshape(rows.shape[1], rows.shape[1]))


class FADInfinity(NamedTuple):
    """The distance that an endless evaluation set would have.

    Args:
        score: Intercept of the line through the distances over 1 / size.
        slope: Its slope, how strongly the distance depends on the size.
        points: Distance at each size.
    """

    score: float
    slope: float
    points: tuple[float, ...]


def covariance_problem(samples: int, dim: int) -> str:
    """Say what is wrong with a covariance of ``dim`` dimensions from so many samples; empty if nothing is.

    >>> covariance_problem(400, 2048)
    '400 samples of 2048 dimensions: the covariance is singular, the distance is biased upwards'
    >>> covariance_problem(3000, 2048), covariance_problem(5000, 2048)
    ('3000 samples are fewer than 2 x 2048 dimensions: the distance is biased upwards', '')
    """
    if samples <= dim:
        return f"{samples} samples of {dim} dimensions: the covariance is singular, the distance is biased upwards"
    if samples < 2 * dim:
        return f"{samples} samples are fewer than 2 x {dim} dimensions: the distance is biased upwards"
    return ""


def frechet_distance(x: Tensor | Statistics, y: Tensor | Statistics) -> Tensor:
    """Frechet distance of two normal distributions, ``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))``, in float64.

    The last trace is the nuclear norm of ``A1 A2^T`` for any ``A^T A = C``. That form needs no matrix square root, so
    it is exact for singular covariances too. Heusel et al., arXiv 1706.08500; agrees with the Frechet distances of
    audioldm_eval, torch-fidelity and torchmetrics.

    Args:
        x: Features ``(N, D)`` or their statistics.
        y: Features ``(M, D)`` or their statistics.

    Returns:
        A scalar, float64. Lower is better; depends on N and M, so compare only at equal numbers.

    Raises:
        anyloom.errors.FeatureSpaceError: The widths differ.
        anyloom.errors.MediaError: Fewer than two samples, or features that are no finite numbers.

    Warns:
        UserWarning: A set has fewer samples than twice its dimensions.

    >>> x = torch.eye(3).repeat(3, 1)
    >>> round(float(frechet_distance(x, x + 2.0)), 6)  # only the mean moved: 3 * 2^2
    12.0
    """
    first, second = _mean_and_root(x), _mean_and_root(y)
    for given in (x, y):
        if isinstance(given, Tensor) and (problem := covariance_problem(*given.shape)):
            warnings.warn(problem, UserWarning, stacklevel=2)
    return _distance(first, second)


def _distance(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
    (mean1, root1), (mean2, root2) = first, second
    if mean1.shape != mean2.shape:
        raise FeatureSpaceError(
            f"features of width {len(mean1)} cannot be compared with features of width {len(mean2)}"
        )
    shared = torch.linalg.svdvals(root1 @ root2.T).sum()
    # tr(C) is the squared Frobenius norm of its root
    distance: Tensor = (mean1 - mean2).square().sum() + root1.square().sum() + root2.square().sum() - 2 * shared
    return distance


def _mean_and_root(given: Tensor | Statistics) -> tuple[Tensor, Tensor]:
    """Mean ``(D,)`` and a matrix ``A (R, D)`` with ``A^T A`` = covariance and no more rows than needed."""
    if isinstance(given, Statistics):
        mean, covariance = given.mean.double(), given.covariance.double()
        values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
        return mean, values.clamp(min=0).sqrt()[:, None] * vectors.T
    rows = require_features(given, name="features", at_least=2)
    mean = rows.mean(0)
    root = (rows - mean) / (len(rows) - 1) ** 0.5
    if len(root) > root.shape[1]:
        root = torch.linalg.qr(root, mode="r").R
    return mean, root


def frechet_distance_at_infinity(
    reference: Tensor, evaluated: Tensor, sizes: Sequence[int], *, seed: int = 0
) -> FADInfinity:
    """Extrapolate the Frechet distance to an endless evaluation set, from draws with replacement.

    Gui et al., arXiv 2311.01616 (fadtk ``score_inf``): a line is fitted through the distances over 1 / size.

    Args:
        reference: Features ``(N, D)``.
        evaluated: Features ``(M, D)``; subsets of these are drawn.
        sizes: Size of each draw, at least two different ones.
        seed: Of numpy's legacy generator, as in the reference.
    """
    rows = require_features(evaluated, name="evaluated", at_least=2)
    generator, whole = np.random.RandomState(seed), _mean_and_root(reference)
    points = []
    for size in sizes:
        drawn = torch.from_numpy(generator.choice(len(rows), size=size, replace=True)).to(rows.device)
        points.append(float(_distance(whole, _mean_and_root(rows[drawn]))))
    slope, score = np.polyfit(1 / np.asarray(sizes, dtype=np.float64), np.asarray(points), 1)
    return FADInfinity(float(score), float(slope), tuple(points))
