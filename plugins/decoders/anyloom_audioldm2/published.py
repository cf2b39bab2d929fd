"""Reads the published AudioLDM2 folder (UNet, autoencoder, vocoder), and repairs its gradient checkpointing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import Transformer2DModel
from torch import nn
from torch.utils.checkpoint import checkpoint

from anyloom.diffusion.weights import is_repository, load_part
from anyloom.errors import CheckpointError, ConfigError
from anyloom_audioldm2.config import MelOptions

if TYPE_CHECKING:
    from anyloom_audioldm2.decoder import AudioLDM2Decoder

__all__ = ["checkpoint_by_name", "load", "load_vocoder"]

_ATTENTION_ARGUMENTS = (
    "encoder_hidden_states",
    "timestep",
    "class_labels",
    "cross_attention_kwargs",
    "attention_mask",
    "encoder_attention_mask",
)


def load(decoder: AudioLDM2Decoder, source: str) -> None:
    """Fill a decoder from a folder in diffusers' layout.

    Raises:
        anyloom.errors.CheckpointError: A part is missing, or does not agree with the decoder's options.
        anyloom.errors.ConfigError: The options normalise the log-mel, which the published autoencoder does not.
    """
    mel = decoder.config.mel
    if (mel.centre, mel.spread) != (0.0, 1.0):
        raise ConfigError(
            "the published autoencoder takes log-mel as it is",
            where="mel",
            fix="set mel.centre: 0 and mel.spread: 1",
        )
    folder = _fetch(source, download=decoder.config.download) if is_repository(source) else Path(source)
    decoder.unet = load_part(decoder.unet, str(folder), "unet", download=False)
    vae = decoder.autoencoder.vae = load_part(decoder.autoencoder.vae, str(folder), "vae", download=False)
    with torch.no_grad():
        decoder.null.zero_()
        decoder.autoencoder.latent_mean.zero_()
        decoder.autoencoder.latent_std.fill_(1 / vae.config.scaling_factor)
    if (folder / "vocoder").is_dir():
        decoder.vocoder = load_vocoder(folder / "vocoder", mel)


def _fetch(repository: str, *, download: bool) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "unet/*", "vae/*", "vocoder/*"]
    try:
        return Path(
            snapshot_download(
                repository, allow_patterns=patterns, ignore_patterns=["*.bin"], local_files_only=not download
            )
        )
    except (OSError, ValueError) as error:
        raise CheckpointError(
            "the repository is not on this machine", where=repository, fix="set download: true, or give a folder"
        ) from error


def load_vocoder(folder: Path, mel: MelOptions) -> Any:
    """Load the HiFi-GAN (arXiv 2010.05646) of a folder; frozen.

    Raises:
        anyloom.errors.CheckpointError: It is not there, or takes another mel spectrogram or sample rate.
    """
    from transformers import SpeechT5HifiGan

    try:
        vocoder = SpeechT5HifiGan.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read the vocoder ({str(error).splitlines()[0]})", where=str(folder)) from error
    there = (vocoder.config.model_in_dim, vocoder.config.sampling_rate)
    if there != (mel.num_mels, mel.sample_rate):
        raise CheckpointError(
            f"the vocoder takes {there[0]} mels at {there[1]} Hz, not {mel.num_mels} at {mel.sample_rate}",
            where=str(folder),
            fix="use the mel options the vocoder was trained with",
        )
    return vocoder.eval().requires_grad_(False)


def checkpoint_by_name(module: nn.Module, *args: Any) -> Any:
    """Checkpoint one block, naming the arguments that diffusers gives its transformers by position.

    diffusers 0.42 calls them with seven positional arguments in another order than their ``forward`` has, so that
    masks land in wrong places.
    """
    if not isinstance(module, Transformer2DModel):
        return checkpoint(module, *args, use_reentrant=False)
    named = dict(zip(_ATTENTION_ARGUMENTS, args[1:]))
    return checkpoint(module, args[0], **named, return_dict=False, use_reentrant=False)
