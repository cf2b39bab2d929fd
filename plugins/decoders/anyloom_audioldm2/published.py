"""Reads the published AudioLDM2 folder: UNet, autoencoder, schedule, vocoder, and the null it was trained with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import Tensor, nn

from anyloom.diffusion.published import Networks, read_networks
from anyloom.diffusion.published_schedule import read_schedule
from anyloom.diffusion.schedule import Schedule
from anyloom.errors import CheckpointError
from anyloom.storage.repositories import fetch
from anyloom_audioldm2.config import GRIFFIN_LIM, AudioLDM2Config
from anyloom_audioldm2.empty_prompt import EmptyPrompt, read_empty_prompt

__all__ = ["Published", "read"]

_FILES: Final = (
    "*.json",
    "unet/*",
    "vae/*",
    "vocoder/*",
    "scheduler/*",
    "text_encoder*/*",
    "tokenizer*/*",
    "projection_model/*",
    "language_model/*",
)


@dataclass(frozen=True)
class Published:
    """What a folder holds.

    Args:
        networks: Denoiser and autoencoder.
        schedule: What it was trained and is sampled with, under what the config says.
        null: What stands in the place of T5's states where there is no prompt, ``(L, D)``; None stands for zeros.
        null_lm: What stands in the place of GPT2's, ``(lm_tokens, lm_dim)``; None stands for zeros.
        vocoder: Folder of the vocoder; None if Griffin-Lim is asked for.
    """

    networks: Networks
    schedule: Schedule
    null: Tensor | None
    null_lm: Tensor | None
    vocoder: Path | None


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
    schedule = read_schedule(folder, config.schedule, config.prediction)
    channels = config.autoencoder.latent_channels * 2 if config.reference else None
    networks = read_networks(folder, unet, vae, channels)
    prompt = read_empty_prompt(folder, config.empty_prompt)
    null, null_lm = (None, None) if prompt is None else _nulls(config, prompt, folder)
    return Published(networks, schedule, null, null_lm, _vocoder(config, folder))


def _nulls(config: AudioLDM2Config, prompt: EmptyPrompt, folder: Path) -> tuple[Tensor, Tensor]:
    """The empty prompt in the shapes of the condition.

    T5 gives an empty prompt one state. Attention to L equal tokens is attention to one of them, so repeating it keeps
    its meaning for any L.
    """
    words = prompt.words.expand(config.tokens, -1) if len(prompt.words) == 1 else prompt.words
    if words.shape != (config.tokens, config.dim) or prompt.language.shape != (config.lm_tokens, config.lm_dim):
        raise CheckpointError(
            f"the empty prompt is {tuple(prompt.words.shape)} and {tuple(prompt.language.shape)}, which is no null of "
            f"{config.tokens} x {config.dim} and {config.lm_tokens} x {config.lm_dim}",
            where=str(config.empty_prompt or folder),
            fix="set tokens, dim, lm_tokens and lm_dim to what the weights were trained on",
        )
    return words, prompt.language


def _vocoder(config: AudioLDM2Config, folder: Path) -> Path | None:
    if config.vocoder is not None:
        return None
    if not (folder / "vocoder").is_dir():
        raise CheckpointError(
            "the folder has no vocoder",
            where=str(folder),
            fix=f"fetch its folder vocoder, name another as vocoder, or set vocoder: {GRIFFIN_LIM}",
        )
    return folder / "vocoder"
