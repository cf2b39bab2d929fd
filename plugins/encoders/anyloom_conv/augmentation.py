"""Random changes of pictures that leave what they mean as it is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["augment"]


def augment(x: Tensor, shift: int = 4, blurred: float = 0.3) -> Tensor:
    """Mirror, turn by quarters, move and sometimes blur each picture, at random.

    Args:
        x: Pictures ``(B, C, S, S)``.
        shift: Largest move in pixels; what moves in is a copy of the border.
        blurred: Share of pictures that lose every detail finer than two or four pixels.
    """
    return _moved(_turned(_blurred(x, blurred)), shift)


def _turned(x: Tensor) -> Tensor:
    """One of the eight symmetries of the square for each picture."""
    kind = torch.randint(8, (len(x),))
    y = torch.empty_like(x)
    for k in range(8):
        rows = (kind == k).nonzero().flatten()
        turned = x[rows].rot90(k % 4, (-2, -1))
        y[rows] = turned.flip(-1) if k >= 4 else turned
    return y


def _moved(x: Tensor, shift: int) -> Tensor:
    """All pictures of a batch move alike: one offset per batch is enough over many batches."""
    down, right = (int(n) for n in torch.randint(0, 2 * shift + 1, (2,)))
    wide = F.pad(x, (shift, shift, shift, shift), mode="replicate")
    return wide[..., down : down + x.shape[-2], right : right + x.shape[-1]]


def _blurred(x: Tensor, share: float) -> Tensor:
    coarse = int(torch.randint(1, 3, ()))
    small = F.avg_pool2d(x, 2**coarse)
    soft = F.interpolate(small, x.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(torch.rand(len(x), 1, 1, 1) < share, soft, x)
