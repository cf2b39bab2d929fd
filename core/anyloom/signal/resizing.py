"""Resizing of pictures and clips, the same for encoders, targets and references, so that they see one content.

Shapes: ... any leading dimensions, C channels, H and W height and width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from anyloom.errors import ConfigError, MediaError

__all__ = ["Fit", "covering_size", "inner_size", "nearest_aspect", "resized", "without_padding"]

Fit = Literal["cover", "pad", "squeeze"]
"""How a picture of other proportions is brought to a size.

``cover`` scales it until it covers the size and cuts off the ends of its longer side, as CLIP's preprocessing does;
``pad`` scales it until it fits inside and fills the rest; ``squeeze`` changes its proportions.
"""

_LONGEST = 8
_MARGIN = 16


def resized(pixels: Tensor, size: tuple[int, int], *, fit: Fit = "cover", fill: float = 1.0) -> Tensor:
    """Return pictures at a size (bicubic, antialiased), with their middles kept.

    Args:
        pixels: ``(..., C, H, W)``, uint8 or float in 0..1.
        size: Height and width wanted.
        fit: What happens to other proportions, see :data:`Fit`.
        fill: Value around a padded picture, in 0..1; the default is white.

    Returns:
        ``(..., C, height, width)`` of the same type, in the same range.

    Raises:
        anyloom.errors.MediaError: The tensor is no picture.
        anyloom.errors.ConfigError: There is no such fit, or the size is not positive.

    >>> resized(torch.zeros(3, 40, 100), (10, 10)).shape
    torch.Size([3, 10, 10])
    """
    if pixels.ndim < 3 or 0 in pixels.shape or not (pixels.is_floating_point() or pixels.dtype == torch.uint8):
        raise MediaError(f"expected pixels (..., C, H, W), uint8 or float, got {pixels.dtype} {tuple(pixels.shape)}")
    if min(size) < 1 or fit not in ("cover", "pad", "squeeze"):
        raise ConfigError(f"no size {size} or no way to fit {fit!r}", fix="fit is one of cover, pad, squeeze")
    flat = pixels.flatten(0, -4) if pixels.ndim > 3 else pixels[None]
    flat = _middle(flat, size) if fit == "cover" else flat
    sizes = {"cover": covering_size, "pad": inner_size}
    scaled = sizes[fit](flat.shape[-2], flat.shape[-1], size) if fit in sizes else size
    flat = _scaled(flat, scaled)
    if fit == "cover":
        top, left = (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2
        flat = flat[..., top : top + size[0], left : left + size[1]]
    elif fit == "pad":
        top, left = (size[0] - scaled[0]) // 2, (size[1] - scaled[1]) // 2
        edges = (left, size[1] - scaled[1] - left, top, size[0] - scaled[0] - top)
        flat = F.pad(flat, edges, value=round(fill * 255) if flat.dtype == torch.uint8 else fill)
    return flat.reshape(*pixels.shape[:-2], *size)


def _middle(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut the ends off a long strip before it is scaled, which would take gigabytes for one of 1 x 10,000 pixels."""
    for axis, wanted, other in ((-1, size[1], -2), (-2, size[0], -1)):
        length = pixels.shape[axis]
        kept = wanted * pixels.shape[other] // size[other] * _LONGEST + _MARGIN
        if length > kept:
            pixels = pixels.narrow(axis, (length - kept) // 2, kept)
    return pixels


def _scaled(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures ``(N, C, H, W)`` at exactly this size. Bicubic filters overshoot, so floats are clamped to 0..1."""
    if pixels.shape[-2:] == size:
        return pixels
    floats = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
    result = F.interpolate(floats, size, mode="bicubic", antialias=True).clamp(0, 1)
    return (result * 255).round().to(torch.uint8) if pixels.dtype == torch.uint8 else result


def covering_size(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """The smallest size of the same proportions (rounded down) that covers another one.

    >>> covering_size(40, 100, (10, 10)), covering_size(100, 40, (10, 20))
    ((10, 25), (50, 20))
    """
    if size[0] * width >= size[1] * height:  # the height decides
        return size[0], max(size[1], width * size[0] // height)
    return max(size[0], height * size[1] // width), size[1]


def inner_size(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """The greatest size of the same proportions (rounded) that fits inside another one, one pixel at least.

    >>> inner_size(40, 100, (10, 10)), inner_size(100, 40, (10, 20))
    ((4, 10), (10, 4))
    """
    if size[0] * width >= size[1] * height:  # the width decides
        return max(1, min(size[0], round(height * size[1] / width))), size[1]
    return size[0], max(1, min(size[1], round(width * size[0] / height)))


def without_padding(pixels: Tensor, height: int, width: int) -> Tensor:
    """Return what ``resized(..., fit="pad")`` left of a picture of this height and width, without the filled edges.

    Args:
        pixels: ``(..., C, H, W)``, such as a decoder's answer to a padded reference.
        height: Of the picture before it was padded.
        width: Of the picture before it was padded.

    >>> without_padding(torch.zeros(3, 10, 10), 40, 100).shape
    torch.Size([3, 4, 10])
    """
    outer = (pixels.shape[-2], pixels.shape[-1])
    inner = inner_size(height, width, outer)
    top, left = (outer[0] - inner[0]) // 2, (outer[1] - inner[1]) // 2
    return pixels[..., top : top + inner[0], left : left + inner[1]]


def nearest_aspect(height: int, width: int, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return that of several sizes, such as those a decoder knows, whose proportions are nearest to a picture's.

    Args:
        height: Of the picture.
        width: Of the picture.
        sizes: Heights and widths; of two that are as near, the first is taken.

    Raises:
        anyloom.errors.ConfigError: There is no size.

    >>> nearest_aspect(720, 1280, [(512, 512), (448, 768), (768, 448)])
    (448, 768)
    """
    if not sizes:
        raise ConfigError("no size to choose from", fix="name the sizes that the decoder knows")

    def distance(size: tuple[int, int]) -> float:
        ratio = size[1] * height / (size[0] * width)
        return max(ratio, 1 / ratio)

    return min(sizes, key=distance)
