"""Input channels added to a trained network, with weights of zero: what it computes stays the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["widen_input", "widened"]


def widened(weight: Tensor, channels: int) -> Tensor:
    """A convolution's weight ``(O, I, ...)`` with zeros for input channels ``I`` to ``channels``.

    >>> widened(torch.ones(1, 2, 1), 4).flatten().tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    extra = channels - weight.shape[1]
    return torch.cat([weight, weight.new_zeros(len(weight), extra, *weight.shape[2:])], 1) if extra > 0 else weight


@torch.no_grad()
def widen_input(network: Any, channels: int) -> None:
    """Let the first layer of a diffusers network read ``channels`` channels, and its config say so.

    Args:
        network: Has ``conv_in`` and ``register_to_config``. One that reads as many or more is left alone.
        channels: Input channels, the old ones first.
    """
    layer = network.conv_in
    if layer.in_channels >= channels:
        return
    layer.weight = nn.Parameter(widened(layer.weight, channels), requires_grad=layer.weight.requires_grad)
    layer.in_channels = channels
    network.register_to_config(in_channels=channels)
