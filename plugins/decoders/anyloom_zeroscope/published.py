"""Reads the published zeroscope folder: UNet, autoencoder, schedule, and the null it was trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn

from anyloom.diffusion.empty_prompt import clip_null
from anyloom.diffusion.published import Networks, read_networks
from anyloom.diffusion.published_schedule import read_schedule
from anyloom.diffusion.schedule import Schedule
from anyloom.storage.repositories import fetch
from anyloom_zeroscope.config import ZeroscopeConfig

__all__ = ["Published", "read"]

_FILES: Final = ("*.json", "unet/*", "vae/*", "scheduler/*", "tokenizer/*", "text_encoder/*")


@dataclass(frozen=True)
class Published:
    """What a folder holds.

    Args:
        networks: Denoiser and autoencoder.
        schedule: What it was trained and is sampled with, under what the config says.
        null: The empty prompt ``(L, D)``, which the weights were trained with; None if the folder has no words.
    """

    networks: Networks
    schedule: Schedule
    null: Tensor | None


def read(config: ZeroscopeConfig, source: str, unet: nn.Module, vae: nn.Module) -> Published:
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
    schedule = read_schedule(folder, config.schedule, config.prediction)
    channels = config.autoencoder.latent_channels * 2 if config.reference else None
    null = clip_null(folder, config.empty_prompt, tokens=config.tokens, dim=config.dim)
    return Published(read_networks(folder, unet, vae, channels), schedule, null)
