"""Where a target stands among candidates, ties counted fairly. Pure functions of tensors.

Shape legend: Q queries, C candidates, D feature dim.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["chance_of_hit", "squared_distances", "standing"]


def squared_distances(queries: Tensor, candidates: Tensor) -> Tensor:
    """Squared Euclidean distances ``(Q, C)`` of ``(Q, D)`` to ``(C, D)``; equal features give exactly 0.

    >>> squared_distances(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[25.,  0.]])
    """
    return torch.stack([(candidates - q).square().sum(-1) for q in queries])


def standing(distances: Tensor, target: Tensor, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """How many candidates are closer than the target, and how many others are equally close.

    Args:
        distances: ``(Q, C)``.
        target: The target's distance to each query ``(Q,)``.
        allowed: Candidates that count ``(C,)`` or ``(Q, C)``, bool; the target itself must not be among them.

    Returns:
        Two counts ``(Q,)``.

    >>> closer, ties = standing(torch.tensor([[0.1, 0.5, 0.5]]), target=torch.tensor([0.5]))
    >>> closer, ties
    (tensor([1]), tensor([2]))
    """
    allowed = torch.ones_like(distances, dtype=torch.bool) if allowed is None else allowed
    closer = (distances < target[:, None]) & allowed
    ties = (distances == target[:, None]) & allowed
    return closer.sum(-1), ties.sum(-1)


def chance_of_hit(closer: Tensor, ties: Tensor, k: int) -> Tensor:
    """Probability that the target is among the first k when ties are broken at random.

    A model whose features are all the same is at chance level by this, and neither always right nor always wrong.

    >>> chance_of_hit(torch.tensor([0, 1, 0]), torch.tensor([0, 0, 3]), k=1)
    tensor([1.0000, 0.0000, 0.2500])
    """
    return ((k - closer).float() / (ties + 1)).clamp(0, 1)
