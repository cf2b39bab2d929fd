"""Principal components in closed form, in a basis that respects the symmetries of the media.

The second moment of downsampled pictures is averaged over the eight symmetries of the square and the three cyclic
swaps of colour channels, on the moment rather than on the data. Mirroring, turning and shifting hues then act on the
components as banded orthogonal maps: a component mixes only with neighbours of equal variance.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["components", "symmetries", "symmetrise"]


def symmetries(shape: tuple[int, int, int]) -> Iterator[Tensor]:
    """Index permutations ``(C * h * w,)``: eight symmetries of the square times cyclic swaps of channels."""
    index = torch.arange(shape[0] * shape[1] * shape[2]).view(shape)
    for turns in range(4):
        for mirrored in (False, True):
            turned = index.rot90(turns, (-2, -1))
            turned = turned.flip(-1) if mirrored else turned
            for shift in range(shape[0]):
                yield turned.roll(shift, 0).flatten()


def symmetrise(moment: Tensor, shape: tuple[int, int, int], mirror_weight: float = 0.02) -> Tensor:
    """Average a second moment ``(N, N)`` over the symmetries of media of that shape.

    Args:
        moment: Second moment of flattened media.
        shape: ``(C, h, w)`` with h = w.
        mirror_weight: A small term that sorts even from odd components among those of equal variance.
    """
    group = list(symmetries(shape))
    mean = sum(moment[p][:, p] for p in group) / len(group)
    assert isinstance(mean, Tensor)
    flip = torch.arange(len(moment)).view(shape).flip(-1).flatten()
    sorted_ = mean + mirror_weight * (mean[flip] + mean[:, flip]) / 2
    return (sorted_ + sorted_.T) / 2


def components(moment: Tensor, count: int, power: float = 0.25) -> Tensor:
    """Projection ``(N, count)`` onto the leading components, each divided by its variance to the ``power``.

    A power of 0 keeps the media's own distances, 0.5 whitens; a quarter is half of the way:
    whitened components are mostly noise, raw ones mostly background.
    """
    variance, basis = torch.linalg.eigh(moment.double())
    variance, basis = variance.flip(0)[:count].clamp_min(1e-8), basis.flip(1)[:, :count]
    sign = basis.gather(0, basis.abs().argmax(0, keepdim=True)).sign()
    projection: Tensor = (basis * sign * variance.pow(-power)).float()
    return projection
