"""Between Pillow's pictures and RGB tensors ``(3, H, W)``."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from anyloom.conversation.pixels import to_bytes
from anyloom.errors import MediaError

__all__ = ["from_pillow", "to_pillow"]

_DEEPEST: Final = 65535
_BYTE: Final = 255


def from_pillow(picture: Image.Image) -> Tensor:
    """Return a Pillow picture of any mode as ``(3, H, W)`` RGB, on white where it is transparent.

    Returns:
        uint8 where the picture has 8 bits or fewer. Float32 in 0..1 for deep grey pictures: 16 bits are divided by
        65535; whole numbers of 32 bits are taken as 0..255, or as 0..65535 where one of them is above 255; float values
        likewise, or as 0..1 where none is above 1.

    Raises:
        anyloom.errors.MediaError: A value is not finite, negative or beyond 65535.

    >>> from_pillow(Image.new("RGB", (4, 2), "red")).shape
    torch.Size([3, 2, 4])
    """
    if picture.mode == "F":
        return _grey(np.asarray(picture, dtype=np.float32), scale=None)
    if picture.mode.startswith("I"):
        greys = np.asarray(picture).astype(np.float32)
        small = picture.mode == "I" and float(greys.max()) <= _BYTE
        rgb = _grey(greys, scale=_BYTE if small else _DEEPEST)
        clear = picture.info.get("transparency")  # one grey of a PNG, which Pillow does not apply at 16 bits
        return rgb if not isinstance(clear, int) else rgb.masked_fill(torch.from_numpy(greys == clear), 1.0)
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        picture = Image.alpha_composite(white, rgba)
    pixels = np.array(picture.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


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


def to_pillow(data: Tensor, where: str = "") -> Image.Image:
    """Return an RGB tensor ``(3, H, W)``, float in 0..1 or uint8, as a Pillow picture.

    Raises:
        anyloom.errors.MediaError: The tensor is no picture.

    >>> to_pillow(torch.ones(3, 2, 4)).size
    (4, 2)
    """
    return Image.fromarray(to_bytes(data, where, 3).permute(1, 2, 0).contiguous().numpy())
