"""Which position reads which: segments as what transformers' models understand.

Without a cache no mask is given at all: transformers reads off ``position_ids`` where a sample begins (its position is
not one more than the one before) and keeps samples apart, in every attention implementation and in sliding windows.
Rows that hold one sample from position 0 on need no mask then, which is the fastest causal attention there is.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["packed_positions", "readable"]


def packed_positions(position_ids: Tensor, segments: Tensor, limit: int | None) -> Tensor:
    """Positions ``(B, S)`` that tell samples apart.

    Padding goes on counting from the sample before it: nothing behind it reads it, and a row that is padded on the
    right stays one run. What stands before the first sample becomes a run of its own, since samples begin at 0.

    Args:
        position_ids: ``(B, S)``, consecutive in every sample, from 0 on.
        segments: ``(B, S)``, 0 where padding is.
        limit: Rows of the model's position table; padding stays below it.
    """
    index = torch.arange(position_ids.shape[1], device=position_ids.device).expand_as(position_ids)
    filled = segments > 0
    # At a sample's position t this is t - position, the place where the sample begins; padding takes the last one's.
    begin = torch.where(filled, index - position_ids, 0).cummax(1).values
    counted = index - begin
    return torch.where(filled, position_ids, counted if limit is None else counted.clamp_max(limit - 1))


def readable(segments: Tensor) -> Tensor:
    """Mask ``(B, P + S)`` for rows of one sample each: 1 where something is.

    >>> readable(torch.tensor([[0, 1, 1], [1, 1, 0]])).tolist()
    [[0, 1, 1], [1, 1, 0]]
    """
    return (segments > 0).long()
