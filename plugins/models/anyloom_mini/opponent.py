"""Colours on opponent axes: lightness, red against green, yellow against blue."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["OPPONENT", "opponent"]

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
