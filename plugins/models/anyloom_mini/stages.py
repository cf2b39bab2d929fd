"""Stages that train the small decoders: closed-form starts, and weights in an order that is fast on CPUs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from anyloom.training.decoder_stages import AutoencoderStage
from anyloom.training.denoiser_stage import DenoiserStage
from anyloom_mini.linear_autoencoder import LinearAutoencoder

__all__ = ["MiniAutoencoderStage", "MiniDecoderStage"]


class MiniAutoencoderStage(AutoencoderStage):
    """Trains the autoencoder of a decoder with a sketch, from principal components on.

    Logs what :class:`anyloom.training.decoder_stages.AutoencoderStage` logs.

    >>> from anyloom_mini.tiny import PICTURE
    >>> options = {"decoder": {"name": "mini-picture", **PICTURE}, "channels_last": True}
    >>> stage = MiniAutoencoderStage(MiniAutoencoderStage.Config(**options), model={})
    >>> isinstance(stage.decoder.autoencoder, LinearAutoencoder)
    True
    """

    class Config(AutoencoderStage.Config):
        """Options.

        Args:
            channels_last: Keep the weights of convolutions in channels-last order, faster on CPUs.
        """

        channels_last: bool = False

    config: Config

    def __init__(self, config: Config, model: dict[str, Any]) -> None:
        super().__init__(config, model)
        if config.channels_last:
            order_channels_last(self.decoder)

    def on_train_start(self) -> None:
        """Fit the linear path, unless training is resumed."""
        autoencoder = self.decoder.autoencoder
        if self.trainer.global_step == 0 and isinstance(autoencoder, LinearAutoencoder):
            targets = [batch.targets for batch in self.sample_batches() if batch.targets is not None]
            if targets:
                autoencoder.fit_linear(torch.cat(targets))


class MiniDecoderStage(DenoiserStage):
    """Trains the denoiser of a decoder with a sketch, which is fitted before the first step.

    Logs what :class:`anyloom.training.denoiser_stage.DenoiserStage` logs.

    >>> from anyloom_mini.tiny import PICTURE
    >>> encoder = {"name": "conv", "size": 16, "grid": 8, "layout_dim": 4, "meaning_dim": 4, "widths": [8, 8]}
    >>> decoder = {"name": "mini-picture", **PICTURE, "space": "conv-image", "scale": "standard"}
    >>> stage = MiniDecoderStage(MiniDecoderStage.Config(encoder=encoder, decoder=decoder), model={})
    >>> print(stage.decoder.feature_space())
    conv-image (1 x 8, standard)
    """

    class Config(DenoiserStage.Config):
        """Options.

        Args:
            channels_last: Keep the weights of convolutions in channels-last order, faster on CPUs.
        """

        channels_last: bool = False

    config: Config

    def __init__(self, config: Config, model: dict[str, Any]) -> None:
        super().__init__(config, model)
        if config.channels_last:
            order_channels_last(self.decoder)


def order_channels_last(module: nn.Module) -> None:
    """Order the weights of two-dimensional convolutions by place, then channel; no number changes.

    >>> layer = nn.Conv2d(4, 8, 3)
    >>> order_channels_last(layer)
    >>> layer.weight.is_contiguous(memory_format=torch.channels_last)
    True
    """
    for parameter in module.parameters():
        if parameter.ndim == 4:  # convolutions over time too have five, and no such order
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
