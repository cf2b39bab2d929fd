"""The loss terms as sums and counts: what they are divided by is settled over a whole optimizer step.

A term's mean over a batch is its sum over its count; a mean of such means would depend on how a step is cut into
batches and processes. So sums stay sums until the counts of the whole step are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Losses", "Term", "token_loss"]


@dataclass(frozen=True)
class Term:
    """One term of the loss.

    Args:
        total: Sum ``()``, with gradient.
        count: Number of things it is summed over.
        weight: Weight of its mean in the whole.

    >>> Term(torch.tensor(6.0), count=3, weight=1.0).mean
    tensor(2.)
    """

    total: Tensor
    count: float
    weight: float

    @property
    def mean(self) -> Tensor:
        """The term over this batch alone ``()``; 0 where there is nothing."""
        return self.total / max(self.count, 1)


@dataclass
class Losses:
    """What a forward pass gives.

    Args:
        terms: Every term by name: ``text``, ``feature/<modality>``, ``diffusion/<modality>``, ``loss/<key>``.
        idle: Zero ``()`` that depends on what this batch had no use for, so that other processes do not wait for it.
    """

    terms: dict[str, Term] = field(default_factory=dict)
    idle: Tensor | None = None

    def add(self, name: str, total: Tensor, count: float, weight: float) -> None:
        """Add a term: its sum ``()``, how many things that is over, and the weight of their mean."""
        self.terms[name] = Term(total, count, weight)

    def total(self, counts: Mapping[str, float] | None = None) -> Tensor:
        """Weighted sum of the terms' means ``()``.

        Args:
            counts: What each term is divided by; its own count by default.

        >>> losses = Losses({"text": Term(torch.tensor(6.0), 2, 1.0)})
        >>> losses.total().item(), losses.total({"text": 4}).item()
        (3.0, 1.5)
        """
        counts = counts or {}
        parts = [t.weight * t.total / (counts.get(n, t.count) or 1) for n, t in self.terms.items() if t.weight]
        parts += [] if self.idle is None else [self.idle]
        return torch.stack([p.float() for p in parts]).sum() if parts else torch.zeros(())


def token_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Summed cross entropy ``()`` in nats of scores ``(C, V)`` and labels ``(C,)``; 0 without any.

    >>> token_loss(torch.zeros(2, 4), torch.tensor([1, 3]))  # 2 log 4
    tensor(2.7726)
    """
    if not len(labels):
        return logits.float().sum()
    return F.cross_entropy(logits.float(), labels, reduction="sum")
