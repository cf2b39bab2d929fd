"""Retrieval across modalities: recall at k, hit rate at k, ranks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from anyloom.errors import FeatureSpaceError, MediaError
from anyloom_metrics.functional.checks import require_number, require_tensor

__all__ = ["Ranks", "hit_rate_at", "ranks_of", "recall_at"]


class Ranks(NamedTuple):
    """Where the positives of each query stand.

    Args:
        first: ``(Q,)`` rank of the best positive, 1 is the top; float64, since ties share their mean rank.
        median: Median of ``first``.
        mean: Mean of ``first``.
        reciprocal: Mean of ``1 / first`` (MRR).
    """

    first: Tensor
    median: float
    mean: float
    reciprocal: float


def recall_at(similarity: Tensor, positives: Tensor, k: int) -> Tensor:
    """Share of a query's positives that are among its first k; higher is better.

    With five captions per picture this cannot reach 1 at k = 1: image-to-text tables print :func:`hit_rate_at`.

    Args:
        similarity: ``(Q, G)`` of queries and gallery.
        positives: ``(Q, G)``, bool.
        k: At least 1.

    Returns:
        ``(Q,)``, float64. Equal similarities count as in a random order: a constant similarity gets k / G, not 1.

    Raises:
        anyloom.errors.MediaError: A query has no positive, or a similarity is no finite number.
        anyloom.errors.FeatureSpaceError: Shapes differ.

    >>> similarity, diagonal = torch.tensor([[0.9, 0.1], [0.8, 0.2]]), torch.eye(2).bool()
    >>> recall_at(similarity, diagonal, 1).tolist(), recall_at(torch.zeros(2, 2), diagonal, 1).tolist()
    ([1.0, 0.0], [0.5, 0.5])
    """
    _check(similarity, positives)
    require_number(k, name="k", least=1, whole=True)
    return (_chance(similarity, k) * positives).sum(1) / positives.sum(1)


def hit_rate_at(similarity: Tensor, positives: Tensor, k: int) -> Tensor:
    """Whether any positive of a query is among its first k, ``(Q,)``; arguments as in :func:`recall_at`.

    Where several positives of a query are equally good, the chance of one of them is reported.

    >>> similarity = torch.tensor([[0.9, 0.1], [0.9, 0.1]])
    >>> hit_rate_at(similarity, torch.tensor([[True, False], [False, True]]), k=1)
    tensor([1., 0.], dtype=torch.float64)
    """
    _check(similarity, positives)
    require_number(k, name="k", least=1, whole=True)
    best = torch.where(positives, similarity, -torch.inf).argmax(1)
    return _chance(similarity, k)[torch.arange(len(best)), best]


def ranks_of(similarity: Tensor, positives: Tensor) -> Ranks:
    """Ranks of the best positive of each query among everything that is no positive of it.

    Args:
        similarity: ``(Q, G)``.
        positives: ``(Q, G)``, bool.

    >>> similarity = torch.tensor([[0.9, 0.1], [0.9, 0.1]])
    >>> ranks = ranks_of(similarity, torch.tensor([[True, False], [False, True]]))
    >>> ranks[0]
    tensor([1., 2.], dtype=torch.float64)
    """
    _check(similarity, positives)
    best = torch.where(positives, similarity, -torch.inf).amax(1, keepdim=True)
    others = torch.where(positives, -torch.inf, similarity)
    first = 1.0 + (others > best).sum(1).double() + 0.5 * (others == best).sum(1).double()
    return Ranks(first, float(first.median()), float(first.mean()), float((1 / first).mean()))


def _chance(similarity: Tensor, k: int) -> Tensor:
    """Chance ``(Q, G)`` that each item of the gallery is among the first k, equal ones in random order."""
    values = (-similarity).contiguous()
    ordered = values.sort(1).values.contiguous()
    above = torch.searchsorted(ordered, values, side="left")
    tied = torch.searchsorted(ordered, values, side="right") - above
    return ((k - above).double() / tied).clamp(0, 1)


def _check(similarity: Tensor, positives: Tensor) -> None:
    if require_tensor(similarity, name="similarity").dtype == torch.bool:
        raise MediaError("expected similarities, got yes and no", where="similarity", fix="give .float()")
    require_tensor(positives, name="positives")
    if similarity.ndim != 2 or similarity.shape != positives.shape or positives.dtype != torch.bool:
        raise FeatureSpaceError(
            f"similarity {tuple(similarity.shape)} does not go with {positives.dtype} positives "
            f"{tuple(positives.shape)}"
        )
    if not bool(similarity.isfinite().all()):
        raise MediaError("the similarities hold NaN or infinite values", where="similarity")
    if not bool(positives.any(1).all()):
        raise MediaError(f"{int((~positives.any(1)).sum())} queries have no positive in the gallery", where="positives")
