"""Reads the published AudioLDM2 folder (UNet, autoencoder, vocoder), and repairs its gradient checkpointing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffusers import Transformer2DModel
from torch import nn
from torch.utils.checkpoint import checkpoint

from anyloom.diffusion.weights import fetch, load_networks
from anyloom.errors import ConfigError
from anyloom_audioldm2.vocoder import load_vocoder

if TYPE_CHECKING:
    from anyloom_audioldm2.decoder import AudioLDM2Decoder

__all__ = ["checkpoint_by_name", "load"]

_FILES = ("*.json", "unet/*", "vae/*", "vocoder/*")
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
    folder = fetch(source, _FILES, download=decoder.config.download)
    load_networks(decoder, folder)
    if (folder / "vocoder").is_dir():
        decoder.vocoder = load_vocoder(folder / "vocoder", mel)


def checkpoint_by_name(module: nn.Module, *args: Any) -> Any:
    """Checkpoint one block, naming the arguments that diffusers gives its transformers by position.

    diffusers 0.42 calls them with seven positional arguments in another order than their ``forward`` has, so that
    masks land in wrong places.
    """
    if not isinstance(module, Transformer2DModel):
        return checkpoint(module, *args, use_reentrant=False)
    named = dict(zip(_ATTENTION_ARGUMENTS, args[1:]))
    return checkpoint(module, args[0], **named, return_dict=False, use_reentrant=False)
