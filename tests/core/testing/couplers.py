"""Couplers that each get one thing wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from anyloom.conversation import Media
from anyloom.diffusion.couplers import ConditionCoupler

__all__ = ["BROKEN"]


class HoldsDecoder(ConditionCoupler):
    """Keeps one of its decoders."""

    def __init__(self, config: Any, decoders: Sequence[Any]) -> None:
        super().__init__(config, decoders)
        self.first = decoders[0]


class MeanLosses(ConditionCoupler):
    """Averages over the batch."""

    def forward(self, *args: Any, **more: Any) -> tuple[Tensor, Tensor]:
        """Two numbers."""
        first, second = super().forward(*args, **more)
        return first.mean(), second.mean()


class HearsNothing(ConditionCoupler):
    """Lets no gradient through to the other side."""

    def join(self, features: Sequence[Tensor], noisy: Sequence[Tensor], times: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(B, L, D)`` of both sides."""
        joined = super().join([f.detach() for f in features], noisy, times)
        first, second = (own + f - f.detach() for own, f in zip(joined, features))
        return first, second


class IgnoresSeeds(ConditionCoupler):
    """Gives the rows of a side the seeds of the last one."""

    def generate(self, *args: Any, seeds: Sequence[Sequence[int]], **more: Any) -> tuple[list[Media], list[Media]]:
        """Media of both sides."""
        return super().generate(*args, seeds=[[own[-1]] * len(own) for own in seeds], **more)


class SwapsSides(ConditionCoupler):
    """Says of the media of one side that they are of the other modality."""

    def generate(self, *args: Any, **more: Any) -> tuple[list[Media], list[Media]]:
        """Media of both sides."""
        first, second = super().generate(*args, **more)
        return [replace(m, modality="audio") for m in first], second


BROKEN: dict[type[ConditionCoupler], set[str]] = {
    HoldsDecoder: {"holds_no_decoder"},
    MeanLosses: {"losses_have_a_value_for_each_row"},
    HearsNothing: {"either_loss_teaches_both_sides"},
    IgnoresSeeds: {"row_does_not_depend_on_its_batch"},
}
