"""The empty prompt of models that were trained on words: what their guidance goes away from."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from anyloom.diffusion.published import variant_of
from anyloom.errors import CheckpointError
from anyloom.storage.json_text import read_json
from anyloom.storage.tensors import read_tensors

__all__ = ["clip_empty_prompt", "clip_null", "empty_prompt_file", "require_words"]


def empty_prompt_file(file: str | Path) -> Tensor:
    """Hidden states ``(P, D)`` of an empty prompt, the tensor ``empty_prompt`` of a safetensors file.

    Raises:
        anyloom.errors.CheckpointError: The file or the tensor is not there.
    """
    tensors = read_tensors(Path(file))
    if "empty_prompt" not in tensors:
        raise CheckpointError(
            f"there is no tensor 'empty_prompt' in the file, but {', '.join(sorted(tensors)[:3])}",
            where=str(file),
            fix="write the hidden states of an empty prompt under that name",
        )
    return tensors["empty_prompt"]


def clip_null(folder: Path, file: Path | None, *, tokens: int, dim: int) -> Tensor | None:
    """Null ``(L, D)`` of weights that were trained on CLIP's hidden states of words; None for those that were not.

    It is the first L hidden states of the empty prompt, which is what the pipelines guide away from: the text encoder
    is causal, so they are those of a prompt of that length.

    Args:
        folder: The published folder.
        file: Has the hidden states; without it the folder's own text encoder is asked.
        tokens: L.
        dim: D.

    Raises:
        anyloom.errors.CheckpointError: The states cannot be had, or do not fit.
    """
    prompt = clip_empty_prompt(folder) if file is None else empty_prompt_file(file)
    if prompt is None:
        require_words(folder)
        return None
    if prompt.shape[0] < tokens or prompt.shape[1:] != (dim,):
        raise CheckpointError(
            f"the empty prompt is {tuple(prompt.shape)}, which is no null of {tokens} x {dim}",
            where=str(file or folder / "text_encoder"),
            fix="set tokens and dim to what the weights were trained on",
        )
    return prompt[:tokens]


def require_words(folder: Path) -> None:
    """Refuse a folder that says it was trained on words but has lost its text encoder.

    Raises:
        anyloom.errors.CheckpointError: ``model_index.json`` names a text encoder that is not there.
    """
    try:
        named = read_json(folder / "model_index.json").get("text_encoder")
    except CheckpointError:
        return
    if isinstance(named, list) and any(named):
        raise CheckpointError(
            "model_index.json names a text encoder that is not here, so there is no null to guide away from",
            where=str(folder),
            fix="fetch the folders tokenizer and text_encoder too, or give the hidden states as empty_prompt",
        )


@torch.no_grad()
def clip_empty_prompt(folder: Path) -> Tensor | None:
    """Hidden states ``(77, D)`` that a folder's CLIP text encoder gives an empty prompt; None if it has no encoder.

    Raises:
        anyloom.errors.CheckpointError: There is one, but it or its tokenizer cannot be read.
    """
    if not (folder / "text_encoder").is_dir():
        return None
    from transformers import CLIPTextModel, CLIPTokenizer

    variant = variant_of(folder / "text_encoder", "model")
    try:
        with torch.device("cpu"):
            tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
            encoder = CLIPTextModel.from_pretrained(
                folder / "text_encoder", variant=variant, local_files_only=True, use_safetensors=True
            ).float()
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"the empty prompt cannot be computed ({str(error).splitlines()[0]})",
            where=str(folder),
            fix="fetch the folders tokenizer and text_encoder again, or give its hidden states as empty_prompt",
        ) from error
    ids = tokenizer("", padding="max_length", max_length=tokenizer.model_max_length, return_tensors="pt").input_ids
    states: Tensor = encoder(ids).last_hidden_state[0]
    return states
