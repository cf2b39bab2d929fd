"""What a denoising network is shown beside noisy latents: a condition, a drawing of it, and the medium to edit."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from anyloom.diffusion.condition import drop_condition
from anyloom.diffusion.guidance import Condition
from anyloom.diffusion.options import LatentDiffusionConfig
from anyloom.diffusion.schedule import build_scheduler
from anyloom.diffusion.sketch import Sketch
from anyloom.errors import FeatureSpaceError
from anyloom.interfaces.decoder import Decoder
from anyloom.interfaces.feature_space import FeatureSpace

__all__ = ["ConditionedDenoiser"]


class ConditionedDenoiser(Decoder):
    """The denoising half of a latent diffusion decoder.

    The network's input channels are, in this order, the noisy latents, the drawing (``sketch``) and the latents of
    the medium that is edited (``source``; CoDi-2, section 5.1, after InstructPix2Pix, arXiv 2211.09800).
    """

    config: LatentDiffusionConfig
    unet: Any
    latent_shape: tuple[int, ...]
    feature_std: Tensor
    sketch: Sketch | None

    def __init__(self, config: LatentDiffusionConfig) -> None:
        super().__init__(config)
        self.uses_source = config.source
        self.scheduler = build_scheduler(config.schedule, config.prediction)
        self.null = nn.Parameter(torch.zeros(config.tokens, config.dim))
        self.register_buffer("feature_std", torch.ones(config.tokens * config.dim))
        self.sketch = None

    @property
    def denoiser_channels(self) -> int:
        """Channels that subclasses build the denoiser with; those of the source are added in ``settle``."""
        return int(self.config.autoencoder.latent_channels) * (2 if self.config.sketch else 1)

    @property
    def source_channels(self) -> int:
        """Channels of a source's latents as the network reads them, 0 if it reads none."""
        return int(self.config.autoencoder.latent_channels) if self.config.source else 0

    @abstractmethod
    def condition(self, features: Tensor, generators: Sequence[torch.Generator] | None = None) -> Tensor:
        """Turn features ``(B, L, D)`` into what :meth:`denoise` reads.

        Args:
            features: Checked features.
            generators: One per row when sampling; None in training, where a subclass may draw noise levels.
        """

    @abstractmethod
    def null_condition(self) -> Tensor:
        """What :meth:`denoise` reads for one dropped condition, made from :attr:`null`."""

    @abstractmethod
    def denoise(self, noisy: Tensor, timesteps: Tensor, condition: Tensor) -> Tensor:
        """Run the network.

        Args:
            noisy: Latents ``(B, Z, ...)``, with the channels of drawing and source behind them where there are any.
            timesteps: ``(B,)``.
            condition: ``(B, ...)`` from :meth:`condition`.
        """

    def feature_space(self) -> FeatureSpace:
        """Return the space its conditions must live in."""
        c = self.config
        return FeatureSpace(name=c.space, dim=c.dim, tokens=c.tokens, scale=c.scale)

    def null_features(self) -> Tensor:
        """The trained null condition ``(L, D)``."""
        return self.null

    def checked(self, features: Tensor) -> Tensor:
        """Return the features if they are ``(B, L, D)`` of this decoder's space, else raise one clear error."""
        own = self.feature_space()
        if features.ndim != 3 or features.shape[1:] != (own.tokens, own.dim):
            raise FeatureSpaceError(
                f"features of shape {tuple(features.shape)} are not (B, {own.tokens}, {own.dim}) of {own}",
                where=type(self).__name__,
                fix="give the decoder the encoder's dim and tokens, or another encoder",
            )
        return features

    def fit_features(self, features: Tensor) -> None:
        """Take statistics from training features ``(N, L, D)``."""
        self.feature_std.copy_(features.flatten(1).float().std(0).clamp(min=1e-4))

    def fit_sketch(self, features: Tensor, latents: Tensor) -> None:
        """Fit the drawing to training features ``(N, L, D)`` and their latents ``(N, Z, ...)``."""
        if self.sketch is not None:
            self.sketch.fit(features, latents, self.config.feature_noise * self.feature_std)

    def noised(self, features: Tensor) -> Tensor:
        """Add a random amount of noise to features while the decoder itself is trained."""
        if not (self.training and self.config.feature_noise):
            return features
        amount = self.config.feature_noise * torch.rand(len(features), 1, 1, device=features.device)
        return features + amount * self.feature_std.view(features.shape[1:]) * torch.randn_like(features)

    def no_source(self, features: Tensor) -> Tensor:
        """The null source of each row: zeros ``(B, Z, ...)``, without channels if the network reads none."""
        return torch.zeros(len(features), self.source_channels, *self.latent_shape[1:], device=features.device)

    def shown(self, features: Tensor, source: Tensor, generators: Sequence[torch.Generator] | None = None) -> Condition:
        """The condition of each row.

        Args:
            features: Checked features ``(B, L, D)``.
            source: Latents of the sources, as :meth:`no_source` where there are none.
            generators: As in :meth:`condition`.
        """
        own = self.condition(features, generators)
        drawn = own.new_zeros(len(own), 0) if self.sketch is None else self.sketch.draw(features)
        return Condition(own, drawn, source)

    def without_features(self, shown: Condition) -> Condition:
        """The condition with the null in place of every row's features."""
        own, drawn = (null.to(part).expand_as(part) for null, part in zip(self._nulls(), shown))
        return Condition(own, drawn, shown.source)

    def without_source(self, shown: Condition) -> Condition:
        """The condition with the null in place of every row's source."""
        return shown._replace(source=torch.zeros_like(shown.source))

    def dropped(self, shown: Condition) -> Condition:
        """The condition with the null in place of some rows' features and some rows' source, while training."""
        own, drawn = drop_condition(shown[:2], self._nulls(), self.config.condition_dropout)
        share = self.config.source_dropout if self.uses_source else 0.0
        (source,) = drop_condition([shown.source], [shown.source.new_zeros(())], share)
        return Condition(own, drawn, source)

    def predict(self, noisy: Tensor, timesteps: Tensor, shown: Condition) -> Tensor:
        """The network in its own precision, or its correction of the Gaussian denoiser around the drawing.

        Args:
            noisy: Latents ``(B, Z, ...)``.
            timesteps: ``(B,)``.
            shown: From :meth:`shown`.
        """
        dtype, own = self.unet.dtype, shown.own
        if self.sketch is None:
            return self.denoise(torch.cat([noisy, shown.source], 1).to(dtype), timesteps, own.to(dtype))
        drawing, variance = self.sketch.split(shown.drawn)
        base = self.sketch.prediction(
            noisy, drawing, variance, timesteps, self.scheduler.alphas_cumprod, self.config.prediction
        )
        inputs = torch.cat([noisy, drawing, shown.source], 1).to(dtype)
        return base + self.denoise(inputs, timesteps, own.to(dtype))

    def _nulls(self) -> tuple[Tensor, Tensor]:
        """What stands for one row's dropped features: null condition and null drawing."""
        null = self.null_condition()
        return null, null.new_zeros(0) if self.sketch is None else self.sketch.null
