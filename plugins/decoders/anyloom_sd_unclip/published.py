"""Reads the published Stable Diffusion 2.1 unCLIP folder: UNet, autoencoder, normaliser, empty prompt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from anyloom.diffusion.weights import check_prediction, fetch, load_networks
from anyloom.errors import CheckpointError
from anyloom.storage.tensors import read_tensors

if TYPE_CHECKING:
    from anyloom_sd_unclip.decoder import SDUnCLIPDecoder

__all__ = ["load"]

_FILES = (
    "*.json",
    "*/*.json",
    "*/*.txt",
    "*/diffusion_pytorch_model.safetensors",
    "text_encoder/model.safetensors",
)


def load(decoder: SDUnCLIPDecoder, source: str) -> None:
    """Fill a decoder from a folder, or a hub repository, in diffusers' layout.

    Raises:
        anyloom.errors.CheckpointError: A part is missing, or does not agree with the decoder's options.
    """
    config = decoder.config
    folder = fetch(source, _FILES, download=config.download)
    check_prediction(decoder, folder)
    load_networks(decoder, folder)
    normaliser = read_tensors(folder / "image_normalizer" / "diffusion_pytorch_model.safetensors")
    prompt = _empty_prompt(folder, config.empty_prompt)
    if prompt.shape != decoder.context.shape:
        raise CheckpointError(
            f"the empty prompt is {tuple(prompt.shape)}, expected {tuple(decoder.context.shape)}", where=source
        )
    with torch.no_grad():
        decoder.augmentation.mean.copy_(normaliser["mean"].flatten())
        decoder.augmentation.std.copy_(normaliser["std"].flatten())
        decoder.context.copy_(prompt)


def _empty_prompt(folder: Path, file: str | None) -> Tensor:
    """Hidden states ``(77, D)`` of an empty prompt, from a file or from the folder's text encoder."""
    if file is not None:
        tensors = read_tensors(Path(file))
        if "empty_prompt" not in tensors:
            raise CheckpointError("there is no tensor 'empty_prompt' in the file", where=file)
        return tensors["empty_prompt"]
    if not (folder / "text_encoder").is_dir():
        raise CheckpointError(
            "neither an empty prompt nor a text encoder to compute it", where=str(folder), fix="set empty_prompt"
        )
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", local_files_only=True, use_safetensors=True)
    ids = tokenizer("", padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt").input_ids
    with torch.no_grad():
        states: Tensor = encoder(ids)[0][0]
    return states
