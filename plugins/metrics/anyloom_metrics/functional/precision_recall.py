"""Precision and recall of generated features: do they lie among the real ones, and are all real ones reached?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from anyloom_metrics.functional.checks import require_features

__all__ = ["PrecisionRecall", "precision_recall"]


class PrecisionRecall(NamedTuple):
    """Shares in 0..1 and their harmonic mean."""

    precision: float
    recall: float
    f_score: float


def precision_recall(generated: Tensor, reference: Tensor, *, neighbours: int = 3) -> PrecisionRecall:
    """Improved precision and recall (Kynkaanniemi et al., arXiv 1904.06991); higher is better.

    A set's manifold is the union of balls around its features that reach to the k-th nearest neighbour.

    Args:
        generated: Features ``(N, D)``.
        reference: Features ``(M, D)``.
        neighbours: k.

    Raises:
        anyloom.errors.MediaError: A set has no k-th neighbour.

    >>> x = torch.arange(8.0)[:, None]
    >>> precision_recall(x, x + 100)
    PrecisionRecall(precision=0.0, recall=0.0, f_score=0.0)
    """
    for name, features in (("generated", generated), ("reference", reference)):
        require_features(features, name=name, at_least=neighbours + 1)
    precision, recall = _inside(generated, reference, neighbours), _inside(reference, generated, neighbours)
    total = precision + recall
    return PrecisionRecall(precision, recall, 2 * precision * recall / total if total else 0.0)


def _inside(points: Tensor, manifold: Tensor, neighbours: int) -> float:
    """Share of points that lie in the manifold."""
    # the nearest neighbour of a feature is the feature itself
    radius = torch.cdist(manifold, manifold).kthvalue(neighbours + 1).values
    return float((torch.cdist(points, manifold) <= radius).any(1).float().mean())
