"""Precision and recall of generated features: do they lie among the real ones, and are all real ones reached?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from anyloom.errors import FeatureSpaceError
from anyloom_metrics.functional.checks import require_features, require_number

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
        anyloom.errors.FeatureSpaceError: The sets are of different dimensions.

    >>> x = torch.arange(8.0)[:, None]
    >>> precision_recall(x, x + 100)
    PrecisionRecall(precision=0.0, recall=0.0, f_score=0.0)
    """
    require_number(neighbours, name="neighbours", least=1, whole=True)
    generated, reference = (
        _single(require_features(features, name=name, at_least=neighbours + 1), features)
        for name, features in (("generated", generated), ("reference", reference))
    )
    if generated.shape[1] != reference.shape[1]:
        raise FeatureSpaceError(f"features of {generated.shape[1]} and {reference.shape[1]} dimensions do not pair")
    generated, reference = (f.to(torch.promote_types(generated.dtype, reference.dtype)) for f in (generated, reference))
    precision, recall = _inside(generated, reference, neighbours), _inside(reference, generated, neighbours)
    total = precision + recall
    return PrecisionRecall(precision, recall, 2 * precision * recall / total if total else 0.0)


def _single(features: Tensor, given: Tensor) -> Tensor:
    """In float32, as the published code computes, or in float64 if that was given."""
    return features if given.dtype == torch.float64 else features.float()


def _inside(points: Tensor, manifold: Tensor, neighbours: int) -> float:
    """Share of points that lie in the manifold."""
    # the nearest neighbour of a feature is the feature itself
    radius = torch.cdist(manifold, manifold).kthvalue(neighbours + 1).values
    return float((torch.cdist(points, manifold) <= radius).any(1).float().mean())
