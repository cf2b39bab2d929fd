"""Feature space <-> LLM hidden size."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from anyloom.interfaces.component import NeuralComponent

__all__ = ["Projector"]


class Projector(NeuralComponent):
    """Maps vectors of one width to vectors of another; one per modality and direction, always trained.

    Attributes:
        uses_source: Whether :meth:`forward` wants ``source``: the features of the media item of the same modality
            that came before in the sequence, zeros where there is none. An editing model predicts change
            relative to it.
    """

    uses_source: ClassVar[bool] = False

    def __init__(self, config: object, in_dim: int, out_dim: int) -> None:
        super().__init__(config)
        self.in_dim, self.out_dim = in_dim, out_dim

    @abstractmethod
    def forward(self, x: Tensor, source: Tensor | None = None) -> Tensor:
        """Map ``(..., in_dim)`` to ``(..., out_dim)``.

        Args:
            x: Features (input side) or hidden states (output side).
            source: Given if :attr:`uses_source`: features ``(..., in_dim)`` on the input side, ``(..., out_dim)``
                on the output side.
        """
