"""The representation `edit`: what goes in is compared with the medium before, what comes out is a change of it.

It helps a language model of two million parameters to carry a picture through its hidden states; the paper's own
projectors (``autoregressive``) do without it.

Shape legend: N media, L features per medium, D feature dim, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from anyloom.errors import ConfigError
from anyloom.interfaces import Before, ComponentConfig, FeatureSpace, Representation
from anyloom.interfaces.chance import row_normal
from anyloom.representation.regression import regression_loss
from anyloom_mini.edit_projectors import ChangeProjector, CompareProjector

__all__ = ["Edit"]


@dataclass
class _Made:
    """One medium in the making: the features ``(D,)`` so far, and those ``(L, D)`` of the medium before."""

    before: Tensor | None
    features: list[Tensor] = field(default_factory=list)


class Edit(Representation):
    """Features as changes of the medium before; each is predicted at the position before its own and fed back.

    >>> space = FeatureSpace(name="toy", dim=4, tokens=2)
    >>> toy = Edit(Edit.Config(compare={"products_dim": 4}), given=space, target=space, hidden_size=6)
    >>> before = Before(torch.ones(3, 2, 4), exists=torch.tensor([True, True, False]))
    >>> toy.embed(torch.ones(3, 2, 4), before).shape
    torch.Size([3, 2, 6])
    """

    uses_before: ClassVar[bool] = True

    class Config(ComponentConfig):
        """Options.

        Args:
            compare: How features are read.
            change: How they are predicted.
            relative_to_change: If above 0, a medium's error weighs 1 / (mean squared distance to the medium before it
                + this), so that small edits count as much as large ones.
            feature_noise: Standard deviation of Gaussian noise on the features that are read, in training.
        """

        compare: CompareProjector.Config = CompareProjector.Config()
        change: ChangeProjector.Config = ChangeProjector.Config()
        relative_to_change: NonNegativeFloat = 0.0
        feature_noise: NonNegativeFloat = 0.0

    config: Config

    def __init__(self, config: Config, *, given: FeatureSpace, target: FeatureSpace, hidden_size: int) -> None:
        super().__init__(config, given=given, target=target, hidden_size=hidden_size)
        if given != target:
            raise ConfigError(
                f"an edit is a change of what is read, but {given} is read and {target} predicted",
                where="representation",
                fix="let one encoder serve both, or name another representation",
            )
        self.input_projector = CompareProjector(config.compare, given.dim, hidden_size)
        self.output_projector = ChangeProjector(config.change, hidden_size, target.dim)

    def embed(self, features: Tensor, before: Before | None) -> Tensor:
        """Embeddings ``(N, L, H)`` of features and of how they differ from those before."""
        assert before is not None
        embedded: Tensor = self.input_projector(self._noised(features), self._noised(before.features))
        return embedded

    def embed_target(self, features: Tensor, before: Before | None) -> Tensor:
        """As :meth:`embed`."""
        return self.embed(features, before)

    def _noised(self, features: Tensor) -> Tensor:
        if not (self.training and self.config.feature_noise):
            return features
        return features + self.config.feature_noise * row_normal(features)

    def read(self, hidden: Tensor, before: Before | None) -> Tensor:
        """Predicted features ``(N, L, D)``."""
        assert before is not None
        return self._change(hidden[:, :-1], before.features)

    def _change(self, hidden: Tensor, before: Tensor) -> Tensor:
        changed: Tensor = self.output_projector(hidden.to(next(self.parameters()).dtype), before)
        return changed

    def loss(self, hidden: Tensor, features: Tensor, before: Before | None) -> Tensor:
        """Squared error ``(N,)``, weighted by the size of the change."""
        assert before is not None
        error = regression_loss(self.read(hidden, before), features)
        if not self.config.relative_to_change:
            return error
        change = (features - before.features).float().square().mean((1, 2))
        return error / (change + self.config.relative_to_change)

    def begin(self, before: Tensor | None, generator: torch.Generator) -> _Made:
        """No feature yet; the medium before, ``(L, D)``, is what will be changed."""
        return _Made(before)

    def step(self, hidden: Tensor, states: Sequence[Any]) -> Tensor:
        """Predict the next feature of each row from ``(R, H)``, keep it and feed it back as ``(R, H)``."""
        nothing = hidden.new_zeros(self.target.tokens, self.target.dim)
        before = torch.stack([(nothing if s.before is None else s.before)[len(s.features)] for s in states])
        features = self._change(hidden, before)
        for state, feature in zip(states, features):
            state.features.append(feature)
        embedded: Tensor = self.input_projector(features, before)
        return embedded

    def finish(self, hidden: Tensor, states: Sequence[Any]) -> Tensor:
        """The features ``(R, L, D)`` that were fed back."""
        return torch.stack([torch.stack(state.features) for state in states])
