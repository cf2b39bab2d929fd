"""LPIPS: distance of pictures in the layers of a network, weighted by how people judge."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from anyloom.errors import FeatureSpaceError

__all__ = ["lpips_distance"]

_EPSILON = 1e-10


def lpips_distance(first: Sequence[Tensor], second: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """LPIPS from layers (Zhang et al., arXiv 1801.03924): unit channels, squared difference, weights, mean over space.

    Args:
        first: One ``(N, C, H, W)`` per layer.
        second: The same of the other pictures.
        weights: One ``(C,)`` per layer, not negative.

    Returns:
        Distance per picture and layer ``(N, layers)``; LPIPS is the sum over layers. Lower is better.

    Raises:
        anyloom.errors.FeatureSpaceError: Numbers of layers or channels differ.

    >>> layers = [torch.rand(2, 3, 4, 4)]
    >>> lpips_distance(layers, layers, [torch.ones(3)])
    tensor([[0.],
            [0.]])
    """
    if not len(first) == len(second) == len(weights):
        raise FeatureSpaceError(f"{len(first)} and {len(second)} layers do not go with {len(weights)} weights")
    distances = []
    for a, b, w in zip(first, second, weights):
        if a.shape != b.shape or a.shape[1] != len(w):
            raise FeatureSpaceError(f"layers {tuple(a.shape)}, {tuple(b.shape)} do not go with {len(w)} weights")
        difference = (_unit(a) - _unit(b)).square()
        distances.append((difference * w[:, None, None]).sum(1).mean((1, 2)))
    return torch.stack(distances, 1)


def _unit(layer: Tensor) -> Tensor:
    unit: Tensor = layer / (layer.norm(dim=1, keepdim=True) + _EPSILON)
    return unit
