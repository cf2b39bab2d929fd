"""What pixels must be before anything is computed from them: RGB values ``(..., 3, H, W)``."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from anyloom.errors import MediaError

__all__ = ["checked_pixels", "to_bytes"]

_BYTE: Final = 255


_FAR_OUTSIDE: Final = 0.5
"""A model's output may leave 0..1 by a little and is clamped; what is further away is on another scale."""


def checked_pixels(data: Tensor, where: str, dims: int) -> Tensor:
    """Return RGB values ``(..., 3, H, W)``, uint8 or float in about 0..1, as they are, on the CPU.

    Args:
        data: The tensor.
        where: Place for the error message.
        dims: How many dimensions it must have.

    Raises:
        anyloom.errors.MediaError: The shape or type is another, a value is not finite, or plainly on another scale.

    >>> checked_pixels(torch.zeros(3, 2, 2), "here", 3).shape
    torch.Size([3, 2, 2])
    >>> try:
    ...     checked_pixels(torch.zeros(1, 2, 2), "here", 3)
    ... except MediaError as error:
    ...     print(error)
    here: expected a tensor (3, H, W), got (1, 2, 2). To fix: convert it to RGB
    """
    if data.ndim != dims or data.shape[-3] != 3 or 0 in data.shape:
        expected = "(3, H, W)" if dims == 3 else "(T, 3, H, W)"
        raise MediaError(f"expected a tensor {expected}, got {tuple(data.shape)}", where=where, fix="convert it to RGB")
    if data.is_meta:
        raise MediaError("a tensor on the meta device holds no values", where=where, fix="make it on a real device")
    data = data.detach().cpu()
    if data.dtype == torch.uint8:
        return data
    if not data.is_floating_point():
        raise MediaError(
            f"expected float values in 0..1 or uint8, got {data.dtype}", where=where, fix="convert it to uint8"
        )
    if not torch.isfinite(data).all():
        raise MediaError("the tensor holds NaN or infinite values", where=where)
    low, high = float(data.min()), float(data.max())
    if low < -_FAR_OUTSIDE or high > 1 + _FAR_OUTSIDE:
        what = f"expected float values in 0..1, got values from {low:g} to {high:g}"
        fix = "take (x + 1) / 2 if -1..1 was meant" if low < 0 else "divide them by 255, or convert them to uint8"
        raise MediaError(what, where=where, fix=fix)
    return data


def to_bytes(data: Tensor, where: str, dims: int) -> Tensor:
    """Return RGB values ``(..., 3, H, W)`` as uint8; floats are taken as 0..1, clamped and rounded.

    Args:
        data: The tensor, float or uint8.
        where: Place for the error message.
        dims: How many dimensions it must have.

    Raises:
        anyloom.errors.MediaError: As for :func:`checked_pixels`.

    >>> to_bytes(torch.full((3, 1, 1), 0.5), "here", 3).flatten()
    tensor([128, 128, 128], dtype=torch.uint8)
    """
    data = checked_pixels(data, where, dims)
    return data if data.dtype == torch.uint8 else (data.float().clamp(0, 1) * _BYTE).round().to(torch.uint8)
