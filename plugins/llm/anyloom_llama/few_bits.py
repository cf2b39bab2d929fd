"""Pretrained linear layers in 8 bits (LLM.int8(), arXiv 2208.07339) or 4 (QLoRA, arXiv 2305.14314) by bitsandbytes."""

from __future__ import annotations

import importlib.util
import os
from typing import Any, Final

import torch
from torch import nn

from anyloom.errors import ConfigError

__all__ = ["leave_base_out", "loading_options", "refuse_cpu", "stored_bytes"]

_REASONS: Final = {
    4: "4-bit weights need a GPU: on a CPU, gradients after a pass in evaluation mode are silently wrong",
    8: "8-bit weights need a GPU: bitsandbytes' kernels for them are made for one",
}
_BLOCK: Final = 64
_NESTED_BLOCK: Final = 256
_FOUR_BIT_WEIGHT: Final = 1 / 2 + 1 / _BLOCK + 4 / (_BLOCK * _NESTED_BLOCK)
"""Bytes: the weight; the 8-bit scale of its block; the float32 scale of that scale's block."""
_SCALE: Final = 4
"""Bytes of the float32 scale that a row of 8-bit weights has."""


def loading_options(bits: int) -> dict[str, Any]:
    """Options of ``from_pretrained`` for 8 bits, or for NF4 with quantised scales, on this process's GPU.

    Args:
        bits: 4 or 8.

    Raises:
        anyloom.errors.ConfigError: There is no GPU, or bitsandbytes is not installed.
    """
    refuse_cpu(bits, "cuda" if torch.cuda.is_available() else "cpu")
    if importlib.util.find_spec("bitsandbytes") is None:
        what, fix = f"{bits}-bit weights need bitsandbytes", "pip install bitsandbytes accelerate"
        raise ConfigError(what, where=f"load_in_{bits}bit", fix=fix)
    from transformers import BitsAndBytesConfig

    four = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    kind = BitsAndBytesConfig(**(four if bits == 4 else {"load_in_8bit": True}))
    return {"quantization_config": kind, "device_map": {"": int(os.environ.get("LOCAL_RANK", "0"))}}


def refuse_cpu(bits: int, device_type: str) -> None:
    """Raise an error if weights of so few bits would be used on a CPU.

    Raises:
        anyloom.errors.ConfigError: The device is a CPU.
    """
    if device_type == "cpu":
        option = f"load_in_{bits}bit"
        raise ConfigError(_REASONS[bits], where=option, fix=f"run on a GPU, or set '{option}: false'")


def stored_bytes(model: nn.Module, head: nn.Module, bits: int) -> int:
    """Bytes that a model with float parameters takes once its linear layers are in few bits.

    Args:
        model: The causal LM, adapters included.
        head: Its output layer, which keeps its precision, as adapters do.
        bits: 4 or 8.
    """
    packed = {
        id(layer.weight): _FOUR_BIT_WEIGHT if bits == 4 else 1 + _SCALE / layer.in_features
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and layer is not head and "lora_" not in name
    }
    tensors = [*model.parameters(), *model.buffers()]
    return round(sum(t.numel() * packed.get(id(t), t.element_size()) for t in tensors))


def leave_base_out(model: nn.Module) -> None:
    """Keep fixed parameters out of state dicts, both ways: only the files they came from can fill them again."""
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    fixed = tuple(name for name, parameter in model.named_parameters() if not parameter.requires_grad)

    def drop(module: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
        for key in [k for k in state if k.startswith(prefix) and k[len(prefix) :] not in trained]:
            del state[key]

    def excuse(module: nn.Module, keys: Any) -> None:
        keys.missing_keys[:] = [k for k in keys.missing_keys if not k.endswith(fixed)]

    model.register_state_dict_post_hook(drop)  # type: ignore[no-untyped-call]
    model.register_load_state_dict_post_hook(excuse)  # type: ignore[no-untyped-call]
