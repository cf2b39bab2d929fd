"""What a denoising network is shown beside noisy latents: a condition, and the latents of the medium to edit."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.guidance import Shown, drop_rows
from anyloom.diffusion.options import LatentDiffusionConfig
from anyloom.diffusion.schedule import Schedule, build_scheduler
from anyloom.errors import FeatureSpaceError
from anyloom.interfaces.decoder import Decoder
from anyloom.interfaces.feature_space import FeatureSpace

__all__ = ["ConditionedDenoiser"]


class ConditionedDenoiser(Decoder):
    """The denoising half of a latent diffusion decoder.

    The network's input channels are the noisy latents and behind them the latents of the medium that is edited
    (``reference``; CoDi-2, section 5.1, after InstructPix2Pix, arXiv 2211.09800).
    """

    config: LatentDiffusionConfig
    unet: Any
    latent_shape: tuple[int, ...]

    def __init__(self, config: LatentDiffusionConfig) -> None:
        super().__init__(config)
        self.uses_reference = config.reference
        # Made here: what is compiled cannot validate.
        self.space = FeatureSpace(name=config.space, dim=config.dim, tokens=config.tokens, scale=config.scale)
        self.take_schedule(config.schedule)
        self.null = nn.Parameter(torch.zeros(config.tokens, config.dim))

    def take_schedule(self, schedule: Schedule) -> None:
        """Noise and sample by a schedule, which may have come with weights rather than from the config."""
        self.schedule, self.scheduler = schedule, build_scheduler(schedule, self.config.prediction)

    @property
    def denoiser_channels(self) -> int:
        """Input channels that subclasses build the denoiser with; those of the reference are added afterwards."""
        return int(self.config.autoencoder.latent_channels)

    @property
    def reference_channels(self) -> int:
        """Channels of a reference's latents as the network reads them, 0 if it reads none."""
        return int(self.config.autoencoder.latent_channels) if self.config.reference else 0

    @abstractmethod
    def condition(self, features: Tensor, draws: RowDraws, *, sampling: bool = False) -> tuple[Tensor, ...]:
        """Turn features ``(B, L, D)`` into what the network reads of them.

        Args:
            features: Checked features.
            draws: Where chance comes from, for conditions with noise in them.
            sampling: Media are being made; otherwise a loss is computed.

        Returns:
            ``(B, ...)`` each, which :meth:`denoise` gets unless a subclass has its own :meth:`predict`.
        """

    @abstractmethod
    def null_condition(self) -> tuple[Tensor, ...]:
        """One row of what stands in the place of :meth:`condition` where the features are dropped."""

    @abstractmethod
    def denoise(self, noisy: Tensor, times: Tensor, *condition: Tensor) -> Tensor:
        """Run the network.

        Args:
            noisy: Latents ``(B, Z, ...)``, with the channels of the reference behind them where there are any.
            times: ``(B,)``.
            condition: What :meth:`condition` gave, ``(B, ...)`` each.
        """

    def feature_space(self) -> FeatureSpace:
        """Return the space its conditions must live in."""
        return self.space

    def checked(self, features: Tensor) -> Tensor:
        """Return the features if they are ``(B, L, D)`` of this decoder's space, else raise one clear error."""
        own = self.space
        if features.ndim != 3 or features.shape[1:] != (own.tokens, own.dim):
            raise FeatureSpaceError(
                f"features of shape {tuple(features.shape)} are not (B, {own.tokens}, {own.dim}) of {own}",
                where=type(self).__name__,
                fix="give the decoder the encoder's dim and tokens, or another encoder",
            )
        return features

    def fit(self, features: Tensor, latents: Tensor) -> None:
        """Take what is fitted in closed form from training features ``(N, L, D)`` and their latents ``(N, Z, ...)``.

        The stage that trains the denoiser calls this before its first step. The default takes nothing.
        """

    def no_reference(self, features: Tensor) -> Tensor:
        """The null reference of each row: zeros ``(B, Z, ...)``, without channels if the network reads none."""
        return torch.zeros(len(features), self.reference_channels, *self.latent_shape[1:], device=features.device)

    def shown(self, features: Tensor, reference: Tensor, draws: RowDraws, *, sampling: bool = False) -> Shown:
        """What the network is shown of each row.

        Args:
            features: Checked features ``(B, L, D)``.
            reference: Latents of the references, as :meth:`no_reference` where there are none.
            draws: As in :meth:`condition`.
            sampling: As in :meth:`condition`.
        """
        return Shown(self.condition(features, draws, sampling=sampling), reference)

    def without_features(self, shown: Shown) -> Shown:
        """The null in place of every row's features."""
        nulls = zip(self.null_condition(), shown.features, strict=True)
        return shown._replace(features=tuple(null.to(part).expand_as(part) for null, part in nulls))

    def without_reference(self, shown: Shown) -> Shown:
        """The null in place of every row's reference."""
        return shown._replace(reference=torch.zeros_like(shown.reference))

    def dropped(self, shown: Shown, draws: RowDraws) -> Shown:
        """The null in place of some rows' features and some rows' reference, while training."""
        features = drop_rows(shown.features, self.null_condition(), self.config.condition_dropout, draws)
        share = self.config.reference_dropout if self.uses_reference else 0.0
        (reference,) = drop_rows([shown.reference], [shown.reference.new_zeros(())], share, draws)
        return Shown(features, reference)

    def predict(self, noisy: Tensor, times: Tensor, shown: Shown) -> Tensor:
        """The network's prediction ``(B, Z, ...)`` of what ``prediction`` names, run in the network's own precision.

        Args:
            noisy: Latents ``(B, Z, ...)``, float32.
            times: ``(B,)``.
            shown: From :meth:`shown`.
        """
        dtype = self.unet.dtype
        inputs = torch.cat([noisy, shown.reference], 1).to(dtype)
        return self.denoise(inputs, times, *(part.to(dtype) for part in shown.features))
