"""Gradient checkpointing for diffusers' ``UNet3DConditionModel``, which has none of its own (0.42)."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

__all__ = ["checkpoint_blocks"]

_WRAPPED = ("resnets", "attentions", "temp_convs", "temp_attentions")


def checkpoint_blocks(unet: nn.Module) -> None:
    """Let every residual, attention and temporal layer compute its activations again in the backward pass.

    Names of modules and tensors stay as they are; calling it twice is calling it once.
    """
    for module in unet.modules():
        for name in _WRAPPED:
            for layer in getattr(module, name, None) or ():
                layer.forward = functools.partial(_checkpointed, layer)


def _checkpointed(layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
    """Run the ``forward`` of a layer's class, keeping its inputs only."""
    forward = type(layer).forward
    if not torch.is_grad_enabled():
        return forward(layer, *args, **kwargs)
    return checkpoint(forward, layer, *args, use_reentrant=False, **kwargs)
