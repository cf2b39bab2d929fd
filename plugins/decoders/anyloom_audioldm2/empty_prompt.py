"""The empty prompt of AudioLDM2, which its pipeline guides away from: T5's states and what GPT2 makes of them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from torch import Tensor

from anyloom.diffusion.empty_prompt import empty_prompt_file, require_words
from anyloom.diffusion.published import variant_of
from anyloom.errors import CheckpointError
from anyloom.storage.tensors import read_tensors

__all__ = ["EmptyPrompt", "read_empty_prompt"]

_PARTS: Final = ("text_encoder", "text_encoder_2", "projection_model", "language_model", "tokenizer", "tokenizer_2")
_LM: Final = "empty_prompt_lm"


@dataclass(frozen=True)
class EmptyPrompt:
    """What the two cross-attentions read where there is no prompt.

    Args:
        words: T5's hidden states ``(P, D)``; P is 1, the end of the text.
        language: Hidden states ``(lm_tokens, lm_dim)`` that GPT2 makes.
    """

    words: Tensor
    language: Tensor


def read_empty_prompt(folder: Path, file: Path | None) -> EmptyPrompt | None:
    """The empty prompt of a published folder; None if it was not trained on words.

    Args:
        folder: The folder, with the text encoders, the projection, the language model and their tokenizers.
        file: Has the states as ``empty_prompt`` and ``empty_prompt_lm``, in place of all these.

    Raises:
        anyloom.errors.CheckpointError: Some of these are there but cannot be read, or the folder says it has them.
    """
    if file is not None:
        tensors = read_tensors(file)
        if _LM not in tensors:
            raise CheckpointError(
                f"there is no tensor {_LM!r} in the file", where=str(file), fix="write GPT2's states under that name"
            )
        return EmptyPrompt(empty_prompt_file(file), tensors[_LM])
    missing = [name for name in _PARTS if not (folder / name).is_dir()]
    if len(missing) == len(_PARTS):
        require_words(folder)
        return None
    if missing:
        raise CheckpointError(
            f"the empty prompt cannot be computed without the folder's {', '.join(missing)}",
            where=str(folder),
            fix="fetch the folder again, or give the hidden states as empty_prompt",
        )
    try:
        with torch.device("cpu"), torch.no_grad():
            return _computed(folder)
    except (OSError, ValueError, TypeError, RuntimeError, AttributeError, KeyError, SafetensorError) as error:
        raise CheckpointError(
            f"the empty prompt cannot be computed ({' '.join(str(error).split())[:200]})",
            where=str(folder),
            fix="fetch the folder again, or give the hidden states as empty_prompt",
        ) from error


def _computed(folder: Path) -> EmptyPrompt:
    """Ask diffusers' own pipeline, of which only the parts that read a prompt are there."""
    from diffusers import AudioLDM2Pipeline, AudioLDM2ProjectionModel
    from transformers import ClapModel, GPT2LMHeadModel, RobertaTokenizer, T5EncoderModel, T5Tokenizer

    nothing = dict.fromkeys(("vae", "unet", "scheduler", "vocoder", "feature_extractor"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about parts that are not there
        pipeline: Any = AudioLDM2Pipeline(
            text_encoder=_loaded(ClapModel, folder / "text_encoder"),
            text_encoder_2=_loaded(T5EncoderModel, folder / "text_encoder_2"),
            projection_model=_loaded(AudioLDM2ProjectionModel, folder / "projection_model"),
            language_model=_loaded(GPT2LMHeadModel, folder / "language_model"),
            tokenizer=RobertaTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
            tokenizer_2=T5Tokenizer.from_pretrained(folder / "tokenizer_2", local_files_only=True),
            **nothing,
        )
        states, mask, language = pipeline.encode_prompt(
            "", device=torch.device("cpu"), num_waveforms_per_prompt=1, do_classifier_free_guidance=False
        )
    return EmptyPrompt(states[0][mask[0].bool()].float(), language[0].float())


def _loaded(cls: Any, folder: Path) -> Any:
    stem = "diffusion_pytorch_model" if folder.name == "projection_model" else "model"
    variant = variant_of(folder, stem)
    return cls.from_pretrained(folder, variant=variant, use_safetensors=True, local_files_only=True).float().eval()
