"""Representations that each get one thing wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from anyloom.interfaces import Before
from anyloom.representation.autoregressive import Autoregressive

__all__ = ["BROKEN"]


class WrongWidth(Autoregressive):
    """One loss for all media."""

    def loss(self, hidden: Tensor, features: Tensor, before: Before | None) -> Tensor:
        """Loss."""
        return super().loss(hidden, features, before)[:1]


class MixesTheBatch(Autoregressive):
    """Centres over the media."""

    def embed(self, features: Tensor, before: Before | None) -> Tensor:
        """Embeddings."""
        return super().embed(features - features.mean(0), before)


class ReadsLate(Autoregressive):
    """Reads each feature at its own position, where it already stands."""

    def read(self, hidden: Tensor, before: Before | None) -> Tensor:
        """Features."""
        return self.project_out(hidden[:, 1:])


class CutsTheGradient(Autoregressive):
    """The language model learns nothing from it."""

    def read(self, hidden: Tensor, before: Before | None) -> Tensor:
        """Features."""
        return super().read(hidden.detach(), before)

    def step(self, hidden: Tensor, states: Sequence[Any]) -> Tensor:
        """The next embedding."""
        with torch.no_grad():
            return super().step(hidden, states)


BROKEN: dict[type[Autoregressive], str] = {
    WrongWidth: "shapes",
    MixesTheBatch: "batch_equals_singles",
    ReadsLate: "steps_give_what_is_read_at_once",
    CutsTheGradient: "passes_gradient",
}
