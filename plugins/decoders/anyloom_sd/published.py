"""Reads a Stable Diffusion folder in diffusers' layout: UNet, autoencoder, and the null it was trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn

from anyloom.diffusion.empty_prompt import clip_null
from anyloom.diffusion.published import Networks, read_networks
from anyloom.diffusion.published_schedule import read_schedule
from anyloom.diffusion.schedule import Schedule
from anyloom.storage.repositories import fetch
from anyloom_sd.config import SDConfig

__all__ = ["Published", "read"]

_FILES: Final = (
    "*.json",
    "scheduler/*.json",
    "unet/*.json",
    "vae/*.json",
    "*/diffusion_pytorch_model*.safetensors",
    "tokenizer/*",
    "text_encoder/config.json",
    "text_encoder/model*.safetensors",
)

_MENDED: Final = {"steps_offset": 1, "clip_sample": False}


@dataclass(frozen=True)
class Published:
    """What a folder holds.

    Args:
        networks: Denoiser and autoencoder.
        schedule: What it was trained and is sampled with, under what the config says.
        null: What the weights were trained with in place of a condition, ``(L, D)``; None stands for zeros.
    """

    networks: Networks
    schedule: Schedule
    null: Tensor | None


def read(config: SDConfig, source: str, unet: nn.Module, vae: nn.Module) -> Published:
    """Read a folder, or a hub repository, in diffusers' layout.

    The null is zero for weights that were trained on features of pictures, which have no text encoder. For those
    that were trained on words it is the empty prompt.

    Args:
        config: The decoder's options.
        source: Folder or repository.
        unet: Denoiser of the expected class and sizes.
        vae: Autoencoder likewise.

    Raises:
        anyloom.errors.CheckpointError: A part is missing, or does not agree with the options.
    """
    folder = fetch(source, _FILES, download=config.download)
    # diffusers' own pipeline mends two values of old folders likewise
    mended = Schedule(**{**_MENDED, **config.schedule.model_dump(exclude_unset=True)})
    schedule = read_schedule(folder, mended, config.prediction)
    channels = config.autoencoder.latent_channels * 2 if config.reference else None
    null = clip_null(folder, config.empty_prompt, tokens=config.tokens, dim=config.dim)
    return Published(read_networks(folder, unet, vae, channels), schedule, null)
