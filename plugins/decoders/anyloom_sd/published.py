"""Reads a Stable Diffusion folder in diffusers' layout: UNet, autoencoder, and the null it was trained with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import Tensor, nn

from anyloom.diffusion.empty_prompt import clip_empty_prompt, empty_prompt_file
from anyloom.diffusion.published import Networks, check_prediction, read_networks
from anyloom.errors import CheckpointError
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


@dataclass(frozen=True)
class Published:
    """What a folder holds.

    Args:
        networks: Denoiser and autoencoder.
        null: What the weights were trained with in place of a condition, ``(L, D)``; None stands for zeros.
    """

    networks: Networks
    null: Tensor | None


def read(config: SDConfig, source: str, unet: nn.Module, vae: nn.Module) -> Published:
    """Read a folder, or a hub repository, in diffusers' layout.

    The null is zero for weights that were trained on features of pictures, which have no text encoder. For those
    that were trained on words it is the empty prompt, of which the first L hidden states are taken: the text encoder
    is causal, so they are those of a prompt of that length.

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
    return Published(read_networks(folder, unet, vae, channels), _null(config, folder))


def _null(config: SDConfig, folder: Path) -> Tensor | None:
    if config.empty_prompt is not None:
        prompt: Tensor | None = empty_prompt_file(config.empty_prompt)
    else:
        prompt = clip_empty_prompt(folder)
    if prompt is None:
        return None
    if prompt.shape[0] < config.tokens or prompt.shape[1:] != (config.dim,):
        raise CheckpointError(
            f"the empty prompt is {tuple(prompt.shape)}, which is no null of {config.tokens} x {config.dim}",
            where=str(config.empty_prompt or folder / "text_encoder"),
            fix="set tokens and dim to what the weights were trained on",
        )
    return prompt[: config.tokens]
