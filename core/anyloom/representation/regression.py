"""What both ways of predicting continuous features share: two projectors and a regression loss.

Shape legend: N media, L features per medium, D feature dim, n positions, H hidden size.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat
from torch import Tensor
from torch.nn import functional as F

from anyloom.building import build_named
from anyloom.errors import ConfigError
from anyloom.interfaces.chance import row_normal
from anyloom.interfaces.component import ComponentConfig, NeuralComponent
from anyloom.interfaces.feature_space import FeatureSpace
from anyloom.interfaces.projector import Projector
from anyloom.interfaces.representation import Before, Representation

__all__ = ["Regression", "RunOfFeatures", "regression_loss"]


def regression_loss(predicted: Tensor, target: Tensor, kind: Literal["mse", "cosine"] = "mse") -> Tensor:
    """Error of each medium ``(N,)`` of predicted features ``(N, L, D)``; no gradient flows into the target.

    Args:
        predicted: c_MLLM.
        target: C_x(x), ``(N, L, D)``.
        kind: ``mse``: mean square (paper section 3.2); ``cosine``: 1 - cosine per feature, as its release computes.

    >>> import torch
    >>> regression_loss(torch.ones(1, 1, 4), torch.zeros(1, 1, 4)).tolist()
    [1.0]
    """
    predicted, target = predicted.float(), target.detach().float()
    if kind == "mse":
        return (predicted - target).square().mean((1, 2))
    return (1 - F.cosine_similarity(predicted, target, dim=-1)).mean(1)


@dataclass
class RunOfFeatures:
    """One medium in the making.

    Args:
        features: Those that are predicted already, each ``(D,)``.
        fed: How many of them have been fed back.

    >>> import torch
    >>> RunOfFeatures(features=[torch.zeros(4)], fed=1).fed
    1
    """

    features: list[Tensor] = field(default_factory=list)
    fed: int = 0


class Regression(Representation):
    """Continuous features through two projectors (paper sections 3.1 and 3.2).

    >>> import torch
    >>> from anyloom.representation.autoregressive import Autoregressive
    >>> from anyloom.options import validate
    >>> space = FeatureSpace(name="here", tokens=3, dim=4)
    >>> options = validate(Autoregressive.Config, {}, where="example")
    >>> representation = Autoregressive(options, given=space, target=space, hidden_size=8)
    >>> representation.embed(torch.zeros(2, 3, 4), None).shape  # (N, L, D) -> (N, L, H)
    torch.Size([2, 3, 8])
    >>> representation.loss(torch.zeros(2, 4, 8), torch.zeros(2, 3, 4), None).shape
    torch.Size([2])
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            input_projector: Component that maps features to the LLM's width.
            output_projector: Component that maps hidden states to features.
            loss: ``mse`` as in the paper, or ``cosine`` (1 - cosine) as its release computes.
            feature_noise: Standard deviation of Gaussian noise on the features that are read, in training.
        """

        input_projector: dict[str, Any] = Field(default_factory=lambda: {"name": "mlp"})
        output_projector: dict[str, Any] = Field(default_factory=lambda: {"name": "mlp"})
        loss: Literal["mse", "cosine"] = "mse"
        feature_noise: NonNegativeFloat = 0.0

    config: Config

    def __init__(self, config: Config, *, given: FeatureSpace, target: FeatureSpace, hidden_size: int) -> None:
        super().__init__(config, given=given, target=target, hidden_size=hidden_size)
        for space in (given, target):
            if space.codes is not None:
                raise ConfigError(
                    f"{space} holds numbers of a codebook, which cannot be regressed",
                    where="representation",
                    fix="name a representation of codes",
                )
        self.input_projector: Projector = build_named(
            "projector", config.input_projector, where="input_projector", in_dim=given.dim, out_dim=hidden_size
        )
        self.output_projector: Projector = build_named(
            "projector", config.output_projector, where="output_projector", in_dim=hidden_size, out_dim=self.output_dim
        )
        # Where another encoder gives what is predicted, its features are read back through a projector of their own.
        self.feedback_projector: Projector | None = None
        if target != given:
            self.feedback_projector = build_named(
                "projector", config.input_projector, where="input_projector", in_dim=target.dim, out_dim=hidden_size
            )

    @property
    def output_dim(self) -> int:
        """Numbers that the output projector gives for one hidden state."""
        return int(self.target.dim)

    def nested(self) -> dict[str, NeuralComponent]:
        """Both projectors."""
        return {"input_projector": self.input_projector, "output_projector": self.output_projector}

    def load_weights(self) -> None:
        """Load the files that the projectors' options name."""
        for projector in self.nested().values():
            projector.load_weights()

    def embed(self, features: Tensor, before: Before | None) -> Tensor:
        """Embeddings ``(N, L, H)`` of media that are read."""
        embedded: Tensor = self.input_projector(self.noised(features))
        return embedded

    def embed_target(self, features: Tensor, before: Before | None) -> Tensor:
        """Embeddings ``(N, n, H)`` of media that are to be produced: their true features, read as any others."""
        embedded: Tensor = self.feed_back(self.noised(features))
        return embedded

    def feed_back(self, features: Tensor) -> Tensor:
        """Embeddings ``(..., H)`` of predicted or true features ``(..., D)`` of the target space."""
        embedded: Tensor = (self.feedback_projector or self.input_projector)(features)
        return embedded

    def noised(self, features: Tensor) -> Tensor:
        """Features ``(N, L, D)`` with the noise of training."""
        features = features.to(next(self.parameters()).dtype)
        if not (self.training and self.config.feature_noise):
            return features
        return features + self.config.feature_noise * row_normal(features)

    @abstractmethod
    def read(self, hidden: Tensor, before: Before | None) -> Tensor:
        """Predicted features ``(N, L, D)`` from hidden states ``(N, n + 1, H)``."""

    def loss(self, hidden: Tensor, features: Tensor, before: Before | None) -> Tensor:
        """Regression error ``(N,)``."""
        return regression_loss(self.read(hidden, before), features, self.config.loss)

    def project_out(self, hidden: Tensor) -> Tensor:
        """The output projector in its own precision, ``(..., H)`` to ``(..., D)``."""
        projected: Tensor = self.output_projector(hidden.to(next(self.parameters()).dtype))
        return projected
