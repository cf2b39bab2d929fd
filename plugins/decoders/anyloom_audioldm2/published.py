"""Reads the published AudioLDM2 folder: UNet and autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from torch import nn

from anyloom.diffusion.published import Networks, check_prediction, read_networks
from anyloom.storage.repositories import fetch
from anyloom_audioldm2.config import AudioLDM2Config

__all__ = ["Published", "read"]

_FILES: Final = ("*.json", "unet/*", "vae/*", "vocoder/*", "scheduler/*")


@dataclass(frozen=True)
class Published:
    """What a folder holds.

    Args:
        networks: Denoiser and autoencoder.
    """

    networks: Networks


def read(config: AudioLDM2Config, source: str, unet: nn.Module, vae: nn.Module) -> Published:
    """Read a folder, or a hub repository, in diffusers' layout.

    Args:
        config: The decoder's options.
        source: Folder or repository.
        unet: Denoiser of the expected class and sizes.
        vae: Autoencoder likewise.

    Raises:
        anyloom.errors.CheckpointError: A part is missing, or does not agree with the options.
    """
    folder = fetch(source, _FILES, download=config.download)
    check_prediction(folder, config.prediction)
    channels = config.autoencoder.latent_channels * 2 if config.reference else None
    return Published(read_networks(folder, unet, vae, channels))
