"""Reads configuration, tokenizer and weights of a checkpoint, and says plainly what is wrong with one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, AutoTokenizer, PretrainedConfig

from anyloom.errors import CheckpointError, ConfigError, nearest
from anyloom.storage.tensors import check_report
from anyloom_llama.config import CausalLMConfig
from anyloom_llama.four_bit import loading_options
from anyloom_llama.tokenizer import ChatTokenizer

__all__ = ["build", "may_be_missing", "read_config", "read_tokenizer", "read_weights"]


def may_be_missing(config: CausalLMConfig) -> bool:
    """Whether the options describe a checkpoint well enough to do without its files, which are not on this disk."""
    return None not in (config.weights, config.architecture) and not Path(str(config.weights)).exists()


def read_tokenizer(config: CausalLMConfig) -> ChatTokenizer:
    """Read the tokenizer.

    Raises:
        anyloom.errors.CheckpointError: It is not there or broken.
    """
    backend = _local(config, AutoTokenizer.from_pretrained, config.tokenizer or config.weights)
    return ChatTokenizer(backend, config.chat_template)


def read_config(config: CausalLMConfig, vocab_size: int | None) -> PretrainedConfig:
    """The architecture: that of the checkpoint if it is there, else that of the options.

    Args:
        config: The options.
        vocab_size: Rows of an architecture that does not say.

    Raises:
        anyloom.errors.CheckpointError: The checkpoint is not there, and the options do not describe it.
        anyloom.errors.ConfigError: transformers does not know the architecture.
    """
    if config.weights is not None:
        try:
            return _local(config, AutoConfig.from_pretrained, config.weights)
        except CheckpointError:
            if not may_be_missing(config):
                raise
    options = {} if vocab_size is None else {"vocab_size": vocab_size}
    options |= dict(config.architecture or {})
    kind = options.pop("model_type", None)
    if kind is None:
        raise ConfigError("'architecture' needs a 'model_type'", where="architecture", fix="for example llama")
    try:
        return AutoConfig.for_model(kind, **options)
    except ValueError as error:
        fix = nearest(kind, CONFIG_MAPPING) or "use a model type of transformers, such as llama"
        raise ConfigError(f"no architecture is called {kind!r}", where="architecture.model_type", fix=fix) from error


def build(config: CausalLMConfig, architecture: PretrainedConfig) -> Any:
    """Build the model with random parameters.

    Raises:
        anyloom.errors.ConfigError: The attention implementation is not installed.
    """
    return AutoModelForCausalLM.from_config(architecture, **_options(config))


def read_weights(config: CausalLMConfig) -> Any:
    """Read the model. Only safetensors are opened.

    Raises:
        anyloom.errors.CheckpointError: The files are missing, truncated or of another model.
        anyloom.errors.ConfigError: 4 bits or the attention implementation are not possible here.
    """
    options = _options(config) | (loading_options() if config.load_in_4bit else {})
    model, report = _local(
        config,
        AutoModelForCausalLM.from_pretrained,
        config.weights,
        use_safetensors=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are in the report
        **options,
    )
    check_report(report, where=str(config.weights))
    return model


def _options(config: CausalLMConfig) -> dict[str, Any]:
    if config.attention == "flash_attention_2" and importlib.util.find_spec("flash_attn") is None:
        raise ConfigError(
            "flash attention is not installed", where="attention", fix="pip install flash-attn, or 'attention: sdpa'"
        )
    return {"attn_implementation": config.attention, "dtype": getattr(torch, config.dtype)}


def _local(config: CausalLMConfig, load: Any, source: str | None, **options: Any) -> Any:
    """Call a ``from_pretrained`` with local files only, unless the config allows a download."""
    try:
        return load(source, local_files_only=not config.download, **options)
    except SafetensorError as error:
        raise CheckpointError(
            f"a file is truncated or not safetensors ({error})", where=str(source), fix="fetch it again"
        ) from error
    except (OSError, ValueError) as error:
        folder = Path(str(source))
        what = f"cannot be read ({str(error).splitlines()[0]})" if folder.exists() else "there is no such folder"
        raise CheckpointError(
            what, where=str(source), fix="give the folder of the files, or set 'download: true' to fetch them"
        ) from error
