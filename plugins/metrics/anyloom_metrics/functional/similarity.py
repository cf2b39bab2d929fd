"""Cosine similarity of rows, one definition under every metric of embeddings."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from anyloom.errors import FeatureSpaceError
from anyloom_metrics.functional.checks import require_features, require_tensor

__all__ = ["paired_cosine"]


def paired_cosine(x: Tensor, y: Tensor) -> Tensor:
    """Cosine of each row of ``x`` with the same row of ``y``; 0 where one of them is the zero vector.

    Args:
        x: ``(N, D)``.
        y: ``(N, D)``.

    Returns:
        ``(N,)``, float64, in -1..1.

    Raises:
        anyloom.errors.FeatureSpaceError: The rows do not pair.
        anyloom.errors.MediaError: They are no finite numbers.

    >>> import torch
    >>> paired_cosine(torch.tensor([[3.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    if require_tensor(x, name="x").shape != require_tensor(y, name="y").shape:
        raise FeatureSpaceError(f"rows {tuple(x.shape)} do not pair with {tuple(y.shape)}")
    return F.cosine_similarity(require_features(x, name="x"), require_features(y, name="y"), dim=1)
