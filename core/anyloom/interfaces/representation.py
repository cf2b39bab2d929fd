"""How media of one modality stand in the LLM's sequence, and how the LLM predicts them.

Shape legend: N media, R rows that are being generated, L features per medium, D feature dim, n positions of a medium
that is produced, H hidden size.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from anyloom.interfaces.component import NeuralComponent
from anyloom.interfaces.feature_space import FeatureSpace

__all__ = ["Before", "Representation"]


@dataclass(frozen=True)
class Before:
    """The medium of the same modality that stands before each medium in its sample.

    Args:
        features: ``(N, L, D)``, zeros where there is none.
        exists: ``(N,)`` bool.

    >>> Before(torch.zeros(2, 4, 8), exists=torch.tensor([True, False])).exists.sum()
    tensor(1)
    """

    features: Tensor
    exists: Tensor


class Representation(NeuralComponent):
    """Puts media into the sequence and reads predictions out of it; always trained.

    A medium that is produced takes n positions between its tags. Training sees all of them at once
    (:meth:`embed_target`, :meth:`loss`, :meth:`read`); generation goes through the same positions one by one
    (:meth:`begin`, :meth:`step`, :meth:`finish`) and must come to the same values.

    Hidden states are counted from the begin tag: index 0 is the state at the tag, index i that at the i-th position,
    so there are ``n + 1`` of them.

    Args:
        config: Its options.
        given: Space of the features of media that are read.
        target: Space of the features that are predicted; the same object where one encoder serves both.
        hidden_size: H.
    """

    uses_before: ClassVar[bool] = False
    """Whether :class:`Before` is wanted; others are given None."""

    differentiable: ClassVar[bool] = True
    """Whether :meth:`read` passes gradient, so that a decoder's loss can flow through it."""

    def __init__(self, config: object, *, given: FeatureSpace, target: FeatureSpace, hidden_size: int) -> None:
        super().__init__(config)
        self.given, self.target, self.hidden_size = given, target, hidden_size

    @property
    def num_positions(self) -> int:
        """n; by default one position per feature."""
        return self.target.tokens

    @abstractmethod
    def embed(self, features: Tensor, before: Before | None) -> Tensor:
        """Embeddings ``(N, L, H)`` of media that are read, from their features ``(N, L, D)``."""

    @abstractmethod
    def embed_target(self, features: Tensor, before: Before | None) -> Tensor:
        """Embeddings ``(N, n, H)`` at the positions of media that are to be produced, teacher-forced."""

    @abstractmethod
    def read(self, hidden: Tensor, before: Before | None) -> Tensor:
        """Predicted features ``(N, L, D)`` from hidden states ``(N, n + 1, H)``."""

    @abstractmethod
    def loss(self, hidden: Tensor, features: Tensor, before: Before | None) -> Tensor:
        """Loss of each medium ``(N,)`` from hidden states ``(N, n + 1, H)`` and its true features ``(N, L, D)``."""

    @abstractmethod
    def begin(self, before: Tensor | None, generator: torch.Generator) -> Any:
        """State of one medium in the making.

        Args:
            before: Features ``(L, D)`` of the medium before it, where :attr:`uses_before` and there is one.
            generator: CPU generator of this medium, for representations that sample.
        """

    @abstractmethod
    def step(self, hidden: Tensor, states: Sequence[Any]) -> Tensor:
        """Embeddings ``(R, H)`` of the next position of R media, from the hidden states ``(R, H)`` before it.

        Called n times for every medium; media in one call may be at different positions.
        """

    @abstractmethod
    def finish(self, hidden: Tensor, states: Sequence[Any]) -> Tensor:
        """Features ``(R, L, D)`` of R media, from the hidden states ``(R, H)`` at their last positions."""
