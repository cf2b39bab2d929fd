"""How a model's own forward makes scores of what its output layer gives."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import torch
from torch import Tensor

__all__ = ["RULES", "ScoreRule", "Scores"]


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


@dataclass(frozen=True)
class ScoreRule:
    """Where scale and cap stand in a configuration. Not their values: a scale may follow from sizes.

    Args:
        option: Name of the scale, None if there is none.
        divides: Whether scores are divided by it.
        capped: Whether there is a cap.
    """

    option: str | None
    divides: bool
    capped: bool

    def of(self, config: Any) -> Scores | None:
        """What the rule means for a configuration, None if that has no such options."""
        factor = 1.0 if self.option is None else getattr(config, self.option, None)
        cap = getattr(config, "final_logit_softcapping", None) if self.capped else None
        if not isinstance(factor, int | float) or factor == 0 or (self.capped and cap is None):
            return None
        return Scores(1.0 / factor if self.divides else float(factor), cap)


RULES: Final = tuple(
    ScoreRule(option, divides, capped)
    for option, divides, capped in product(
        (None, "logit_scale", "logits_scaling", "lm_head_multiplier", "output_multiplier"), (False, True), (False, True)
    )
)
"""All that families of transformers do."""
