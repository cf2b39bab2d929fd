"""Between Pillow's pictures and RGB tensors ``(3, H, W)``."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from anyloom.errors import MediaError

__all__ = ["checked_pixels", "from_pillow", "to_bytes", "to_pillow"]

_DEEPEST: Final = 65535
_BYTE: Final = 255


def from_pillow(picture: Image.Image) -> Tensor:
    """Return a Pillow picture of any mode as ``(3, H, W)`` RGB, on white where it is transparent.

    Returns:
        uint8 where the picture has 8 bits or fewer. Float32 in 0..1 for deep grey pictures: 16 and 32 bits are divided
        by 65535; float values are taken as 0..1, or as 0..255 or 0..65535 where one of them is above 1 or 255.

    Raises:
        anyloom.errors.MediaError: A value is not finite, negative or beyond 65535.
    """
    if picture.mode == "F":
        return _grey(np.asarray(picture, dtype=np.float32), scale=None)
    if picture.mode.startswith("I"):
        return _grey(np.asarray(picture).astype(np.float32), scale=_DEEPEST)
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        picture = Image.alpha_composite(white, rgba)
    rgb = np.array(picture.convert("RGB"))
    return torch.from_numpy(rgb).permute(2, 0, 1).contiguous()


def _grey(values: Any, scale: float | None) -> Tensor:
    """Float values ``(H, W)`` as three equal channels in 0..1; without a scale, the values tell it."""
    low, high = float(values.min()), float(values.max())
    finite = bool(np.isfinite(low) and np.isfinite(high))
    if not finite or low < 0 or high > _DEEPEST:
        raise MediaError(
            f"its values go from {low:g} to {high:g}",
            fix="scale them to 0..1 (float), 0..255 or 0..65535",
            reason=None if finite else "NaN",
        )
    if scale is None:
        scale = 1 if high <= 1 else _BYTE if high <= _BYTE else _DEEPEST
    return torch.from_numpy(values / np.float32(scale)).expand(3, -1, -1).contiguous()


_FAR_OUTSIDE: Final = 1.0
"""A model's output may leave 0..1 by a little and is clamped; what is further away is on another scale."""


def checked_pixels(data: Tensor, where: str, dims: int) -> Tensor:
    """Return RGB values ``(..., 3, H, W)``, uint8 or float in about 0..1, as they are, on the CPU.

    Args:
        data: The tensor.
        where: Place for the error message.
        dims: How many dimensions it must have.

    Raises:
        anyloom.errors.MediaError: The shape or type is another, a value is not finite, or plainly on another scale.
    """
    if data.ndim != dims or data.shape[-3] != 3 or 0 in data.shape:
        expected = "(3, H, W)" if dims == 3 else "(T, 3, H, W)"
        raise MediaError(f"expected a tensor {expected}, got {tuple(data.shape)}", where=where, fix="convert it to RGB")
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
        raise MediaError(what, where=where, fix="divide them by 255, or convert them to uint8")
    return data


def to_bytes(data: Tensor, where: str, dims: int) -> Tensor:
    """Return RGB values ``(..., 3, H, W)`` as uint8; floats are taken as 0..1, clamped and rounded.

    Args:
        data: The tensor, float or uint8.
        where: Place for the error message.
        dims: How many dimensions it must have.

    Raises:
        anyloom.errors.MediaError: As for :func:`checked_pixels`.
    """
    data = checked_pixels(data, where, dims)
    return data if data.dtype == torch.uint8 else (data.float().clamp(0, 1) * _BYTE).round().to(torch.uint8)


def to_pillow(data: Tensor, where: str = "") -> Image.Image:
    """Return an RGB tensor ``(3, H, W)``, float in 0..1 or uint8, as a Pillow picture.

    Raises:
        anyloom.errors.MediaError: The tensor is no picture.

    >>> to_pillow(torch.ones(3, 2, 4)).size
    (4, 2)
    """
    return Image.fromarray(to_bytes(data, where, 3).permute(1, 2, 0).contiguous().numpy())
