"""Features one after another: each is predicted at the position before its own and fed back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from anyloom.interfaces.representation import Before
from anyloom.representation.regression import Regression, RunOfFeatures

__all__ = ["Autoregressive"]


class Autoregressive(Regression):
    """The paper's own way (section 3.2): feature l is read one position before it, and fed back to predict the next.

    >>> from anyloom.interfaces import FeatureSpace
    >>> space = FeatureSpace(name="toy", dim=4, tokens=2)
    >>> toy = Autoregressive(Autoregressive.Config(), given=space, target=space, hidden_size=6)
    >>> toy.embed(torch.zeros(3, 2, 4), None).shape, toy.read(torch.zeros(3, 3, 6), None).shape
    (torch.Size([3, 2, 6]), torch.Size([3, 2, 4]))
    """

    def read(self, hidden: Tensor, before: Before | None) -> Tensor:
        """Predicted features ``(N, L, D)``."""
        return self.project_out(hidden[:, :-1])

    def begin(self, before: Tensor | None, generator: torch.Generator) -> RunOfFeatures:
        """No feature yet; ``before`` ``(L, D)`` is not looked at."""
        return RunOfFeatures()

    def step(self, hidden: Tensor, states: Sequence[Any]) -> Tensor:
        """Predict the next feature of each row from ``(R, H)``, keep it and feed it back as ``(R, H)``."""
        features = self.project_out(hidden)
        for state, feature in zip(states, features):
            state.features.append(feature)
        return self.feed_back(features)

    def finish(self, hidden: Tensor, states: Sequence[Any]) -> Tensor:
        """The features ``(R, L, D)`` that were fed back; the last hidden state ``(R, H)`` predicts nothing more."""
        return torch.stack([torch.stack(state.features) for state in states])
