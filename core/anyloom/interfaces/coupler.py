"""Two decoders that agree with each other while they make the media of one answer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.interfaces.component import NeuralComponent
from anyloom.interfaces.decoder import Condition, Decoder

__all__ = ["Coupler"]

Pair = Sequence[Decoder]


class Coupler(NeuralComponent):
    """Joins two decoders; always trained. It holds no decoder: they come with every call.

    Args:
        config: Its options.
        decoders: The two decoders, for their sizes.

    Raises:
        anyloom.errors.ConfigError: These two cannot be coupled, and why.
    """

    def __init__(self, config: object, decoders: Pair) -> None:
        super().__init__(config)

    @abstractmethod
    def forward(
        self,
        decoders: Pair,
        conditions: Sequence[Condition],
        targets: Sequence[Tensor],
        seeds: Sequence[Sequence[int] | Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Losses ``(B,)`` of both sides, with gradient to the coupler and to the features of both.

        Args:
            decoders: The two decoders.
            conditions: B rows of each; row n of one side belongs to row n of the other.
            targets: Stack ``(B, ...)`` from each decoder's ``preprocess``.
            seeds: As in :meth:`anyloom.interfaces.Decoder.forward`, of both sides.
        """

    @abstractmethod
    def generate(
        self,
        decoders: Pair,
        conditions: Sequence[Condition],
        *,
        seeds: Sequence[Sequence[int]],
        sampling: Sequence[Any] = (None, None),
    ) -> tuple[list[Media], list[Media]]:
        """Make one media item per row on both sides; see :meth:`anyloom.interfaces.Decoder.generate`."""
