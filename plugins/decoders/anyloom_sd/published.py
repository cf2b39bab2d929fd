"""Reads a Stable Diffusion folder in diffusers' layout: UNet, autoencoder, and the null it was trained with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from anyloom.diffusion.weights import check_prediction, fetch, load_networks
from anyloom.errors import CheckpointError
from anyloom.storage.tensors import read_tensors

if TYPE_CHECKING:
    from anyloom_sd.decoder import SDDecoder

__all__ = ["load"]

_FILES = (
    "*.json",
    "scheduler/*.json",
    "unet/*.json",
    "vae/*.json",
    "*/diffusion_pytorch_model.safetensors",
    "tokenizer/*",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
)


@torch.no_grad()
def load(decoder: SDDecoder, source: str) -> None:
    """Fill a decoder from a folder, or a hub repository, in diffusers' layout.

    The null is zero for weights that were trained on features of pictures, which have no text encoder. For those
    that were trained on words it is the empty prompt, of which the first L hidden states are taken: the text encoder
    is causal, so they are those of a prompt of that length.

    Raises:
        anyloom.errors.CheckpointError: A part is missing, or does not agree with the decoder's options.
    """
    config = decoder.config
    folder = fetch(source, _FILES, download=config.download)
    check_prediction(decoder, folder)
    load_networks(decoder, folder)
    prompt = _empty_prompt(folder, config.empty_prompt)
    if prompt is None:
        return
    if prompt.shape[0] < config.tokens or prompt.shape[1:] != (config.dim,):
        raise CheckpointError(
            f"the empty prompt is {tuple(prompt.shape)}, which is no null of {config.tokens} x {config.dim}",
            where=str(config.empty_prompt or folder / "text_encoder"),
            fix="set tokens and dim to what the weights were trained on",
        )
    decoder.null.copy_(prompt[: config.tokens])


def _empty_prompt(folder: Path, file: Path | None) -> Tensor | None:
    """Hidden states ``(77, D)`` of an empty prompt; None for weights that were not trained on words."""
    if file is not None:
        tensors = read_tensors(file)
        if "empty_prompt" not in tensors:
            raise CheckpointError("there is no tensor 'empty_prompt' in the file", where=str(file))
        return tensors["empty_prompt"]
    if not (folder / "text_encoder").is_dir():
        return None
    from transformers import CLIPTextModel, CLIPTokenizer

    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"the empty prompt cannot be computed ({str(error).splitlines()[0]})",
            where=str(folder),
            fix="give its hidden states as empty_prompt",
        ) from error
    length = tokenizer.model_max_length
    ids = tokenizer("", padding="max_length", max_length=length, return_tensors="pt").input_ids
    states: Tensor = encoder(ids).last_hidden_state[0]
    return states
