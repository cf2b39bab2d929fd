"""Pictures as tensors: resizing, value ranges, and a colour error that training can see early."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from anyloom.errors import MediaError

__all__ = ["OPPONENT", "opponent", "to_network", "to_picture"]

OPPONENT = (
    (0.57735027, 0.57735027, 0.57735027),
    (0.70710678, -0.70710678, 0.0),
    (0.40824829, 0.40824829, -0.81649658),
)
"""Orthonormal opponent axes of (red, green, blue): lightness, red-green, yellow-blue."""


def opponent(pictures: Tensor) -> Tensor:
    """Rotate ``(B, 3, H, W)`` from RGB to the axes :data:`OPPONENT`; lengths are kept.

    >>> grey = torch.ones(1, 3, 1, 1)
    >>> [round(float(v), 4) for v in opponent(grey).flatten()]
    [1.7321, 0.0, 0.0]
    """
    return torch.einsum("oc,bchw->bohw", torch.tensor(OPPONENT, dtype=pictures.dtype, device=pictures.device), pictures)


def to_network(picture: Tensor, size: int) -> Tensor:
    """Return a picture as float32 ``(3, size, size)`` in [-1, 1], resized with antialiasing.

    Args:
        picture: ``(3, H, W)``, uint8 in 0..255 or float in 0..1.
        size: Rows and columns.

    Raises:
        anyloom.errors.MediaError: It is not a picture of three channels.
    """
    if picture.ndim != 3 or picture.shape[0] != 3:
        raise MediaError(f"a picture is a tensor (3, H, W), got {tuple(picture.shape)}", fix="convert it to RGB")
    x = picture.float() / 255 if picture.dtype == torch.uint8 else picture.float()
    if x.shape[1:] != (size, size):
        x = F.interpolate(x[None], (size, size), mode="bicubic", antialias=True)[0]
    return x.clamp(0, 1) * 2 - 1


def to_picture(output: Tensor) -> Tensor:
    """Return network output ``(..., 3, H, W)`` in about [-1, 1] as a CPU float picture in [0, 1]."""
    return ((output.float() + 1) / 2).clamp(0, 1).cpu()
