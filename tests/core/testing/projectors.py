"""Projectors that each get one thing wrong."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from anyloom.representation.projector import MLPProjector

__all__ = ["BROKEN"]


class Flattens(MLPProjector):
    """Takes three dimensions only."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, L, in_dim)`` to ``(B, L, out_dim)``."""
        y = super().forward(x)
        return y if y.ndim == 3 else y.flatten()[None]


class MixesTheBatch(MLPProjector):
    """Centres over the rows."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., in_dim)`` to ``(..., out_dim)``."""
        return super().forward(x - x.mean(0))


class CutsTheGradient(MLPProjector):
    """Lets no gradient through to the encoder's side."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., in_dim)`` to ``(..., out_dim)``."""
        return super().forward(x.detach())


class Frozen(MLPProjector):
    """Cannot be trained in part."""

    def __init__(self, config: Any, in_dim: int, out_dim: int) -> None:
        super().__init__(config, in_dim, out_dim)
        self.layers[0].requires_grad_(False)


BROKEN: dict[type[MLPProjector], str] = {
    Flattens: "keeps_leading_dimensions",
    MixesTheBatch: "batch_equals_singles",
    CutsTheGradient: "passes_gradient",
    Frozen: "passes_gradient",
}
