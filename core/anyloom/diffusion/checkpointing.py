"""Gradient checkpointing of denoisers whose attention blocks diffusers calls with arguments in a wrong order."""

from __future__ import annotations

from typing import Any, Final

from torch import nn
from torch.utils.checkpoint import checkpoint

__all__ = ["checkpoint_by_name"]

_ATTENTION_ARGUMENTS: Final = (
    "encoder_hidden_states",
    "timestep",
    "class_labels",
    "cross_attention_kwargs",
    "attention_mask",
    "encoder_attention_mask",
)


def checkpoint_by_name(module: nn.Module, *args: Any) -> Any:
    """Checkpoint one block, naming the arguments that diffusers gives its transformers by position.

    diffusers 0.42 calls them with seven positional arguments in another order than their ``forward`` has, so that
    masks land in wrong places.
    """
    from diffusers import Transformer2DModel

    if not isinstance(module, Transformer2DModel):
        return checkpoint(module, *args, use_reentrant=False)
    named = dict(zip(_ATTENTION_ARGUMENTS, args[1:]))
    return checkpoint(module, args[0], **named, return_dict=False, use_reentrant=False)
