"""Reads configuration, tokenizer and weights of a checkpoint, and says plainly what is wrong with one.

Nothing here runs code of a checkpoint: ``trust_remote_code`` is False everywhere, so nobody is asked either.
"""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PretrainedConfig

from anyloom.errors import AnyloomError, CheckpointError, ConfigError
from anyloom.storage.headers import tensor_files
from anyloom.storage.pickles import refuse_pickled
from anyloom.storage.tensors import check_report, non_finite
from anyloom_llama.architecture import from_options, from_published
from anyloom_llama.config import CausalLMConfig
from anyloom_llama.few_bits import loading_options
from anyloom_llama.reason import reason
from anyloom_llama.tokenizer import ChatTokenizer

__all__ = ["build", "may_be_missing", "read_config", "read_tokenizer", "read_weights"]


def may_be_missing(config: CausalLMConfig) -> bool:
    """Whether the options describe a checkpoint well enough to do without its files, which are not on this disk."""
    return None not in (config.weights, config.architecture) and not Path(str(config.weights)).exists()


def read_tokenizer(config: CausalLMConfig) -> ChatTokenizer:
    """Read the tokenizer.

    Raises:
        anyloom.errors.CheckpointError: It is not there or broken.
        anyloom.errors.ConversationError: Its chat template cannot write a question and an answer.
    """
    backend = _local(config, AutoTokenizer.from_pretrained, config.tokenizer or config.weights, trust_remote_code=False)
    return ChatTokenizer(backend, config.chat_template)


def read_config(config: CausalLMConfig, vocab_size: int | None) -> PretrainedConfig:
    """The architecture: that of the checkpoint if it is there, else that of the options.

    Args:
        config: The options.
        vocab_size: Rows of an architecture that does not say.

    Raises:
        anyloom.errors.CheckpointError: The checkpoint is not there, and the options do not describe it.
        anyloom.errors.ConfigError: transformers does not know the architecture or its options.
    """
    described = None if config.architecture is None else from_options(config.architecture, vocab_size)
    if config.weights is not None:
        try:
            values, _ = _local(config, PretrainedConfig.get_config_dict, config.weights)
            if isinstance(values.get("model"), dict) and "format" in values:
                raise CheckpointError(
                    "this is a model that anyloom saved, not a language model alone",
                    where=config.weights,
                    fix="take its parts over by module.start_from, or 'anyloom export' its language model",
                )
            return from_published(values, where=config.weights)
        except CheckpointError:
            if not may_be_missing(config):
                raise
    assert described is not None  # the config demands one of both
    return described


def build(config: CausalLMConfig, architecture: PretrainedConfig) -> Any:
    """Build the model with random parameters.

    Raises:
        anyloom.errors.ConfigError: The attention implementation is not installed, or the sizes do not fit together.
    """
    options = _options(config)
    try:
        return AutoModelForCausalLM.from_config(architecture, trust_remote_code=False, **options)
    except Exception as error:  # families check their sizes in ways of their own
        raise ConfigError(
            f"{architecture.model_type!r} cannot be built with these options ({reason(error)})",
            where="architecture",
            fix="compare them with a published config.json of this family",
        ) from error


def read_weights(config: CausalLMConfig, architecture: PretrainedConfig) -> Any:
    """Read the model. Only safetensors are opened, and of a folder none but its own.

    Raises:
        anyloom.errors.CheckpointError: The files are missing, truncated or of another model.
        anyloom.errors.ConfigError: Few bits or the attention implementation are not possible here.
    """
    folder = Path(str(config.weights))
    if (folder / "adapter_config.json").exists():
        raise CheckpointError(
            "this is an adapter, not a model", where=str(folder), fix="give the folder of the model it was merged into"
        )
    if folder.is_dir():
        refuse_pickled(folder)
        tensor_files(folder)  # refuses an index that names files elsewhere
    options = _options(config) | (loading_options(config.bits) if config.bits else {})
    model, report = _local(
        config,
        AutoModelForCausalLM.from_pretrained,
        config.weights,
        config=copy.deepcopy(architecture),
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are in the report
        **options,
    )
    check_report(report, where=str(config.weights))
    if not config.bits and (broken := non_finite(dict(model.named_parameters()))):
        raise CheckpointError(
            f"{len(broken)} of its tensors hold NaN or infinite values: {', '.join(broken[:3])}",
            where=str(config.weights),
            fix="use another checkpoint",
        )
    return model


def _options(config: CausalLMConfig) -> dict[str, Any]:
    if config.attention == "flash_attention_2" and importlib.util.find_spec("flash_attn") is None:
        raise ConfigError(
            "flash attention is not installed", where="attention", fix="pip install flash-attn, or 'attention: sdpa'"
        )
    return {"attn_implementation": config.attention, "dtype": getattr(torch, config.dtype)}


def _local(asked: CausalLMConfig, load: Any, source: str | None, **options: Any) -> Any:
    """Call a ``from_pretrained`` with local files only, unless the config allows a download."""
    try:
        return load(source, local_files_only=not asked.download, **options)
    except AnyloomError:
        raise
    except SafetensorError as error:
        raise CheckpointError(
            f"a file is truncated or not safetensors ({error})", where=str(source), fix="fetch it again"
        ) from error
    except Exception as error:  # whatever a library makes of files that are not what they should be
        folder = Path(str(source))
        what = f"cannot be read ({reason(error)})" if folder.exists() else "there is no such folder"
        raise CheckpointError(
            what, where=str(source), fix="give the folder of the files, or set 'download: true' to fetch them"
        ) from error
