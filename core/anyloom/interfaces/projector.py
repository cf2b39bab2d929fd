"""Vectors of one width -> vectors of another: feature space <-> LLM hidden size."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from anyloom.interfaces.component import NeuralComponent

__all__ = ["Projector"]


class Projector(NeuralComponent):
    """Maps vectors of one width to vectors of another; a representation has one per direction. Always trained.

    >>> class Cut(Projector):
    ...     def forward(self, x):
    ...         return x[..., : self.out_dim]
    >>> Cut(None, in_dim=4, out_dim=2)(Tensor([[1, 2, 3, 4]]))
    tensor([[1., 2.]])
    """

    def __init__(self, config: object, in_dim: int, out_dim: int) -> None:
        super().__init__(config)
        self.in_dim, self.out_dim = in_dim, out_dim

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., in_dim)`` to ``(..., out_dim)``."""
