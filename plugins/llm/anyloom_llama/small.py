"""A small model of an architecture: the family's own code with the same options, but few and narrow layers."""

from __future__ import annotations

import copy
from typing import Any, Final

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PretrainedConfig

__all__ = ["small_model"]

_LAYERS: Final = 2
_SMALL: Final = {
    "vocab_size": 24,
    "intermediate_size": 32,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "num_hidden_layers": _LAYERS,
    "num_attention_heads": 4,
}
"""Sizes that bear on cost alone, where an architecture has them. Heads keep their width: rotary tables depend on it."""

_LARGEST: Final = 40_000_000
"""Parameters of a small model; one that keeps more has sizes that are not known here."""


def small_model(architecture: PretrainedConfig, attention: str) -> Any:
    """Build it with random weights that are large enough to show a cap on scores.

    Args:
        architecture: The configuration.
        attention: Attention implementation.

    Raises:
        ValueError: It stays large. Families raise other errors of their own.
    """
    small = _small(architecture)
    with torch.device("meta"):
        size = sum(p.numel() for p in AutoModelForCausalLM.from_config(small).parameters())
    if size > _LARGEST:
        raise ValueError(f"{size:,} parameters are left of it at a small size")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(small, attn_implementation=attention, dtype=torch.float32).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.3)
    return model


def _small(architecture: PretrainedConfig) -> PretrainedConfig:
    """The same options with few and narrow layers."""
    small = copy.deepcopy(architecture)
    heads = getattr(small, "num_attention_heads", None) or 1
    few = {"hidden_size": small.hidden_size // heads * 4}
    if isinstance(getattr(small, "num_key_value_heads", None), int):
        few["num_key_value_heads"] = 2 if small.num_key_value_heads < heads else 4
    for name, size in {**few, **_SMALL}.items():
        if isinstance(getattr(small, name, None), int):
            setattr(small, name, min(size, getattr(small, name)))
    for name in ("layer_types", "mlp_layer_types"):
        if isinstance(getattr(small, name, None), list) and not isinstance(getattr(type(small), name, None), property):
            setattr(small, name, _some_of_each(getattr(small, name), _LAYERS))
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(small, name, None)
    return small


def _some_of_each(kinds: list[str], count: int) -> list[str]:
    """As many layers, of as many kinds as there is room for."""
    return [*dict.fromkeys(kinds), *kinds][:count]
