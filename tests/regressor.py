"""A decoder that is no diffusion model: it regresses pictures from features, and makes one picture per feature."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyloom.conversation import Media
from anyloom.errors import FeatureSpaceError
from anyloom.interfaces import Condition, Decoder, FeatureSpace
from anyloom.interfaces.component import ComponentConfig
from anyloom.storage.tensors import load_into, read_tensors


class PictureRegressor(Decoder):
    """Linear, activation, linear, sigmoid."""

    class Config(Decoder.Config):
        """Options.

        Args:
            space: Name of the feature space.
            dim: Its width.
            side: Rows and columns of a picture.
            contrast: Of what is made, unless a call says otherwise.
            weights: Folder with ``model.safetensors``.
        """

        space: str = "tiny"
        dim: int = 8
        side: int = 4
        contrast: float = 1.0
        weights: Path | None = None

    class Sampling(ComponentConfig):
        """How pictures are made.

        Args:
            contrast: Factor around grey.
        """

        contrast: float | None = None

    modality = "image"

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.layers = nn.Sequential(nn.Linear(config.dim, 32), nn.GELU(), nn.Linear(32, 3 * config.side**2))
        self.requires_grad_(not config.freeze)

    def feature_space(self) -> FeatureSpace:
        """One feature per picture."""
        return FeatureSpace(name=self.config.space, dim=self.config.dim)

    def preprocess(self, media: Media) -> Tensor:
        """A picture ``(3, side, side)`` in 0..1."""
        return F.adaptive_avg_pool2d(media.tensor().float(), self.config.side)

    def example(self) -> Tensor:
        """A black picture ``(1, 3, side, side)``."""
        return torch.zeros(1, 3, self.config.side, self.config.side)

    def forward(self, condition: Condition, targets: Tensor, seeds: Sequence[int] | Tensor | None = None) -> Tensor:
        """Squared error ``(B,)``."""
        return (self._pictures(condition) - targets).square().flatten(1).mean(1)

    @torch.no_grad()
    def generate(self, condition: Condition, *, seeds: Sequence[int], sampling: Any = None) -> list[Media]:
        """One picture per row of features ``(B, 1, D)``."""
        contrast = self.chosen(sampling).contrast
        made = ((self._pictures(condition) - 0.5) * contrast + 0.5).clamp(0, 1).float().cpu()
        return [Media("image", row, features=f.float().cpu()) for row, f in zip(made, condition.features)]

    def _pictures(self, condition: Condition) -> Tensor:
        if condition.features.shape[1:] != (1, self.config.dim):
            raise FeatureSpaceError(f"features are {tuple(condition.features.shape)}", where="PictureRegressor")
        side = self.config.side
        return self.layers(condition.features[:, 0]).sigmoid().unflatten(1, (3, side, side))

    def load_weights(self) -> None:
        """Read ``model.safetensors``."""
        if self.config.weights is not None:
            load_into(self, read_tensors(self.config.weights), where=str(self.config.weights))

    def weight_files(self) -> list[Path]:
        """The folder."""
        return [] if self.config.weights is None else [self.config.weights]
