"""The loss terms: tokens, features; the diffusion loss is the decoder's own. Pure functions of tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from anyloom.sequence.interleave import IGNORE

__all__ = ["Losses", "feature_loss", "token_loss"]


@dataclass
class Losses:
    """What a training step gives.

    Args:
        total: Weighted sum ``()``, with gradient.
        terms: Every term before its weight, by name: ``text``, ``feature/<modality>``, ``diffusion/<modality>``.
        weights: The weight each term entered the sum with.
    """

    total: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, term: Tensor, weight: float) -> None:
        """Add a term with its weight."""
        self.terms[name], self.weights[name] = term, weight
        if weight:
            self.total = self.total + weight * term


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy (nats) of logits ``(T, V)`` and labels ``(T,)`` over labelled positions; 0 without any."""
    if not len(labels) or bool((labels == IGNORE).all()):
        return logits.sum() * 0
    return F.cross_entropy(logits.float(), labels, ignore_index=IGNORE)


def feature_loss(predicted: Tensor, target: Tensor, weight: Tensor, kind: Literal["mse", "cosine"] = "mse") -> Tensor:
    """Regression of predicted features onto the encoder's.

    Args:
        predicted: c_MLLM ``(N, L, D)``.
        target: C_x(x) ``(N, L, D)``; no gradient flows into it.
        weight: Weight of each media item ``(N,)``; the mean is over their sum.
        kind: ``mse`` (paper section 3.2) or ``cosine``: 1 - cosine similarity per step.

    >>> feature_loss(torch.ones(1, 1, 4), torch.zeros(1, 1, 4), torch.ones(1)).item()
    1.0
    """
    target = target.detach().float()
    if kind == "mse":
        each = (predicted.float() - target).square().mean((1, 2))
    else:
        each = (1 - F.cosine_similarity(predicted.float(), target, dim=-1)).mean(1)
    return (each * weight).sum() / weight.sum().clamp_min(torch.finfo(each.dtype).tiny)
