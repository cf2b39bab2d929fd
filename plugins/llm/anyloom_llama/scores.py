"""How a model's own forward makes scores of what its output layer gives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Scores"]


@dataclass(frozen=True)
class Scores:
    """``cap * tanh(scale * x / cap)``, or ``scale * x`` without a cap.

    Args:
        scale: Factor (Cohere, Granite).
        cap: Largest score (Gemma 2).
    """

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Scores of what the output layer gives, in any shape.

        >>> Scores(scale=2.0)(torch.tensor([1.5]))
        tensor([3.])
        >>> Scores(cap=1.0)(torch.tensor([100.0]))
        tensor([1.])
        """
        if self.scale != 1.0:
            x = x * self.scale
        return x if self.cap is None else torch.tanh(x / self.cap) * self.cap
