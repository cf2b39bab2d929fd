"""CLIP's preprocessing through Pillow, number by number what ``CLIPImageProcessor`` does with it."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from anyloom.conversation.pixels import to_bytes
from anyloom_clip.config import PictureNumbers

__all__ = ["picture_input"]


def picture_input(picture: Tensor, side: int, numbers: PictureNumbers, where: str = "") -> Tensor:
    """Return a picture ``(3, H, W)``, uint8 or float in 0..1, as float32 ``(3, side, side)``.

    Args:
        picture: The picture.
        side: Rows and columns of the middle square that is kept.
        numbers: Size before the cut, mean and deviation.
        where: Place for the error message.

    Raises:
        anyloom.errors.MediaError: It is no picture of three channels.
    """
    pixels = to_bytes(picture, where, 3).permute(1, 2, 0).contiguous()
    small = _square(Image.fromarray(pixels.numpy()), side, numbers.short_side or side)
    values = torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255
    return (values - torch.tensor(numbers.mean)[:, None, None]) / torch.tensor(numbers.std)[:, None, None]


def _square(picture: Image.Image, side: int, short: int) -> Image.Image:
    """Resize the shorter side to ``short`` (bicubic, antialiased) and cut the middle square out."""
    width, height = picture.size
    shorter = min(width, height)
    size = (width * short // shorter, height * short // shorter)
    resized = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = ((length - side) // 2 for length in size)
    return resized.crop((left, top, left + side, top + side))
