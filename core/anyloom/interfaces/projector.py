"""Vectors of one width -> vectors of another: feature space <-> LLM hidden size."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from anyloom.interfaces.component import NeuralComponent

__all__ = ["Projector"]


class Projector(NeuralComponent):
    """Maps vectors of one width to vectors of another; a representation has one per direction. Always trained."""

    def __init__(self, config: object, in_dim: int, out_dim: int) -> None:
        super().__init__(config)
        self.in_dim, self.out_dim = in_dim, out_dim

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., in_dim)`` to ``(..., out_dim)``."""
