"""Resizing of pictures: Pillow's bicubic square of CLIP and DINO, and the two 299 x 299 forms of FID."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from anyloom.errors import MediaError

__all__ = ["CLIP_MEAN", "CLIP_STD", "IMAGENET_MEAN", "IMAGENET_STD", "clean_299", "directional_square", "picture_bytes"]
__all__ += ["normalised", "square", "tensorflow_299", "unit_picture"]

CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD: Final = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)


def unit_picture(picture: Tensor, where: str = "") -> Tensor:
    """Return a picture ``(3, H, W)`` as float in 0..1, where floats must lie already.

    Raises:
        anyloom.errors.MediaError: It is no picture, holds NaN, or floats lie outside 0..1: their range is unknown then.

    >>> float(unit_picture(torch.full((3, 1, 1), 51, dtype=torch.uint8)).max())
    0.20000000298023224
    """
    if picture.ndim != 3 or picture.shape[0] != 3 or 0 in picture.shape:
        raise MediaError(f"expected a picture (3, H, W), got {tuple(picture.shape)}", where=where)
    if picture.dtype == torch.uint8:
        return picture.float() / 255
    if not picture.is_floating_point():
        raise MediaError(f"expected float values in 0..1 or uint8, got {picture.dtype}", where=where)
    low, high = float(picture.min()), float(picture.max())
    if not (low >= 0 and high <= 1):  # NaN fails both comparisons
        raise MediaError(
            f"a float picture must lie in 0..1, this one goes from {low:g} to {high:g}",
            where=where,
            fix="divide by its range, or clamp it",
        )
    return picture.detach().float()


def picture_bytes(picture: Tensor, where: str = "") -> Tensor:
    """Return a picture ``(3, H, W)`` as bytes; see :func:`unit_picture` for what is refused.

    >>> picture_bytes(torch.full((3, 1, 1), 0.2)).flatten().tolist()
    [51, 51, 51]
    """
    unit = unit_picture(picture, where)
    return picture if picture.dtype == torch.uint8 else (unit * 255).round().to(torch.uint8)


def square(picture: Tensor, *, short_side: int, size: int) -> Tensor:
    """Resize the shorter side with Pillow's bicubic filter and cut out the middle.

    Equals torchvision's ``Resize(short_side, BICUBIC)``, ``CenterCrop(size)`` on Pillow pictures and transformers'
    CLIP processor, bit for bit.

    Args:
        picture: Bytes ``(3, H, W)``.
        short_side: Pixels of the shorter side.
        size: Pixels of the square, at most ``short_side``.

    Returns:
        Bytes ``(3, size, size)``.

    >>> tuple(square(torch.zeros(3, 40, 60, dtype=torch.uint8), short_side=32, size=28).shape)
    (3, 28, 28)
    """
    height, width = picture.shape[1:]
    short = min(height, width)
    # the longer side is cut to whole pixels, not rounded
    wanted = (int(short_side * width / short), int(short_side * height / short))
    resized = _pillow(picture).resize(wanted, Image.Resampling.BICUBIC)
    left, top = (round((side - size) / 2) for side in resized.size)
    cut = np.asarray(resized)[top : top + size, left : left + size]
    return torch.from_numpy(cut.copy()).permute(2, 0, 1)


def normalised(picture: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Bytes ``(3, H, W)`` as float32, channel by channel without mean and divided by deviation.

    >>> normalised(torch.full((3, 1, 1), 255, dtype=torch.uint8), (0.5, 0.0, 1.0), (0.5, 1.0, 1.0)).flatten().tolist()
    [1.0, 1.0, 0.0]
    """
    columns = [torch.tensor(x, dtype=torch.float32)[:, None, None] for x in (mean, std)]
    return (picture.float() / 255 - columns[0]) / columns[1]


def clean_299(picture: Tensor) -> Tensor:
    """Resize bytes ``(3, H, W)`` to float32 ``(3, 299, 299)`` in 0..255, as clean-fid does (arXiv 2104.11222).

    Each channel is resized as float by Pillow's bicubic filter, without rounding in between; values can leave 0..255.

    >>> tuple(clean_299(torch.zeros(3, 32, 48, dtype=torch.uint8)).shape)
    (3, 299, 299)
    """
    channels = [Image.fromarray(c.numpy().astype(np.float32)) for c in picture]
    resized = [np.array(c.resize((299, 299), Image.Resampling.BICUBIC), dtype=np.float32) for c in channels]
    return torch.from_numpy(np.stack(resized))


def tensorflow_299(picture: Tensor) -> Tensor:
    """Resize ``(3, H, W)`` to float32 ``(3, 299, 299)`` with the bilinear filter of TensorFlow 1.

    The filter of the original Inception network inside FID (torch-fidelity, torchmetrics): corners are not centres of
    pixels, and nothing is smoothed where the picture shrinks.

    >>> float(tensorflow_299(torch.full((3, 10, 20), 7.0)).mean())
    7.0
    """
    return _interpolated(_interpolated(picture.float(), dim=1), dim=2)


def _interpolated(picture: Tensor, *, dim: int) -> Tensor:
    length = picture.shape[dim]
    places = torch.arange(299, dtype=torch.float32) * (length / 299)
    low = places.long().clamp(max=length - 1)
    high = (low + 1).clamp(max=length - 1)
    shape = [1] * 3
    shape[dim] = 299
    share = (places - low).reshape(shape)
    first, second = picture.index_select(dim, low), picture.index_select(dim, high)
    return first + (second - first) * share


def directional_square(pictures: Tensor, *, size: int = 224) -> Tensor:
    """Resize ``(N, 3, H, W)`` in 0..1 to CLIP's input ``(N, 3, size, size)`` as InstructPix2Pix's metric does.

    Torch's bicubic filter without smoothing, proportions not kept, nothing clamped. It differs from CLIP's own
    preparation by several steps of 255; it is there for numbers that are compared with that code's.

    >>> tuple(directional_square(torch.zeros(2, 3, 32, 48)).shape)
    (2, 3, 224, 224)
    """
    resized = F.interpolate(pictures.float(), size=(size, size), mode="bicubic", align_corners=False)
    mean, std = (torch.tensor(x, device=pictures.device)[:, None, None] for x in (CLIP_MEAN, CLIP_STD))
    return (resized - mean) / std


def _pillow(picture: Tensor) -> Image.Image:
    return Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())
