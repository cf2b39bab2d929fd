"""All features of a medium at once, from the hidden state at its begin tag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from anyloom.interfaces.representation import Before
from anyloom.representation.regression import Regression, RunOfFeatures

__all__ = ["Parallel"]


class Parallel(Regression):
    """No feature is predicted from an earlier one's true value, so training and generation see the same (choice).

    >>> from anyloom.interfaces import FeatureSpace
    >>> from anyloom.options import validate
    >>> space = FeatureSpace(name="here", tokens=3, dim=4)
    >>> options = validate(Parallel.Config, {}, where="example")
    >>> representation = Parallel(options, given=space, target=space, hidden_size=8)
    >>> representation.read(torch.zeros(2, 4, 8), None).shape  # (N, n + 1, H) -> (N, L, D)
    torch.Size([2, 3, 4])
    """

    @property
    def output_dim(self) -> int:
        """All features of a medium."""
        return int(self.target.tokens * self.target.dim)

    def read(self, hidden: Tensor, before: Before | None) -> Tensor:
        """Predicted features ``(N, L, D)``."""
        flat = self.project_out(hidden[:, 0])
        return flat.view(len(flat), self.target.tokens, self.target.dim)

    def begin(self, before: Tensor | None, generator: torch.Generator) -> RunOfFeatures:
        """No feature yet; ``before`` ``(L, D)`` is not looked at."""
        return RunOfFeatures()

    def step(self, hidden: Tensor, states: Sequence[Any]) -> Tensor:
        """Plan all features of rows ``(R, H)`` that begin; feed the next one of every row back as ``(R, H)``."""
        fresh = [n for n, state in enumerate(states) if not state.features]
        if fresh:
            # The plan stands in reading order; a step takes its own entry by the count of steps before it.
            for n, plan in zip(fresh, self.read(hidden[fresh][:, None], None)):
                states[n].features = [*plan]
        embedded = self.feed_back(torch.stack([state.features[state.fed] for state in states]))
        for state in states:
            state.fed += 1
        return embedded

    def finish(self, hidden: Tensor, states: Sequence[Any]) -> Tensor:
        """The planned features ``(R, L, D)``."""
        return torch.stack([torch.stack(state.features) for state in states])
