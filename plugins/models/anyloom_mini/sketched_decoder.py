"""What the two small decoders share: a sketch of the medium in closed form that the network corrects."""

from __future__ import annotations

from abc import abstractmethod

import torch
from pydantic import Field
from torch import Tensor, nn

from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.guidance import Shown
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.sampling import Trajectory
from anyloom_mini.linear_autoencoder import LinearSizes
from anyloom_mini.sketch import Sketch

__all__ = ["SketchedDecoder"]


class SketchedDecoder(LatentDiffusionDecoder):
    """Latent diffusion around a sketch; see :mod:`anyloom_mini.sketch`.

    The network's input channels are the noisy latents, the drawing, and the latents of the reference where it reads
    one. What it puts out corrects the Gaussian denoiser around the drawing.
    """

    class Config(LatentDiffusionDecoder.Config):
        """Options, besides those of every latent diffusion decoder.

        Args:
            autoencoder: Sizes of the autoencoder.
            feature_noise: Standard deviation of noise added to the features while the decoder itself is trained,
                in units of the features' own; makes it forgiving towards predicted features.
            start_noise: Standard deviation of the noise that sampling starts from; below 1 gives calmer results.
        """

        autoencoder: LinearSizes = LinearSizes()
        feature_noise: float = Field(default=0.5, ge=0)
        start_noise: float = Field(default=0.25, ge=0)

    config: Config
    feature_std: Tensor
    sketch: Sketch
    fixed_options = (*LatentDiffusionDecoder.fixed_options, "unet.")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.register_buffer("feature_std", torch.ones(config.tokens * config.dim))

    @property
    def numbers(self) -> int:
        """Numbers in what one drawing is made from: a feature's."""
        return int(self.config.tokens * self.config.dim)

    @property
    def denoiser_channels(self) -> int:
        """Noisy latents and drawing."""
        return 2 * int(self.config.autoencoder.latent_channels)

    def add_sketch(self) -> None:
        """Make the sketch, and let the network begin as a correction of nothing; called when the network exists."""
        self.sketch = Sketch(self.numbers, self.latent_shape)
        nn.init.zeros_(self.unet.conv_out.weight)
        nn.init.zeros_(self.unet.conv_out.bias)

    @abstractmethod
    def read(self, features: Tensor, draws: RowDraws) -> Tensor:
        """What the network reads of features ``(B, L, D)`` besides the drawing, ``(B, ...)``."""

    @abstractmethod
    def null_read(self) -> Tensor:
        """One row of what stands in its place where the features are dropped."""

    def condition(self, features: Tensor, draws: RowDraws, *, sampling: bool = False) -> tuple[Tensor, ...]:
        """What the network reads of the features, and their drawing with its variance ``(B, 2 Z ...)``."""
        features = self.noised(features, draws, sampling=sampling)
        return self.read(features, draws), self.sketch.draw(features)

    def noised(self, features: Tensor, draws: RowDraws, *, sampling: bool = False) -> Tensor:
        """Features ``(B, L, D)``, with noise while the decoder itself is trained."""
        if self.training and self.config.feature_noise and not sampling:
            amount = self.config.feature_noise * draws.uniform()[:, None, None]
            std = self.feature_std.view(features.shape[1:])
            features = features + amount * std * draws.normal(features.shape[1:])
        return features

    def null_condition(self) -> tuple[Tensor, ...]:
        """The null, and the drawing of nothing: mean and variance of all latents."""
        return self.null_read(), self.sketch.null

    def fit(self, features: Tensor, latents: Tensor) -> None:
        """Fit the sketch to training features ``(N, L, D)`` and their latents ``(N, Z, ...)``."""
        self.feature_std.copy_(features.flatten(1).float().std(0).clamp(min=1e-4))
        self.sketch.fit(features, latents, self.config.feature_noise * self.feature_std)

    def start(self, draws: RowDraws, denoising_steps: int) -> Trajectory:
        """Calmer noise than that of training."""
        trajectory = super().start(draws, denoising_steps)
        trajectory.samples = self.config.start_noise * trajectory.samples
        return trajectory

    def predict(self, noisy: Tensor, times: Tensor, shown: Shown) -> Tensor:
        """The Gaussian denoiser's prediction ``(B, Z, ...)`` and the network's correction of it."""
        dtype, (own, drawn) = self.unet.dtype, shown.features
        drawing, variance = self.sketch.split(drawn)
        alphas, kind = self.scheduler.alphas_cumprod, self.config.prediction
        base = self.sketch.prediction(noisy, drawing, variance, times, alphas, kind)
        inputs = torch.cat([noisy, drawing, shown.reference], 1).to(dtype)
        return base + self.denoise(inputs, times, own.to(dtype))
