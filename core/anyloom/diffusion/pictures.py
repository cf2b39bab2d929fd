"""Pictures as the autoencoder's input and output: square, in [-1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from anyloom.conversation.segments import Media
from anyloom.errors import MediaError

__all__ = ["to_network", "to_picture", "to_pictures"]


def to_network(picture: Tensor, size: int, where: str = "") -> Tensor:
    """Return a picture ``(3, H, W)``, uint8 or float in 0..1, as float32 ``(3, size, size)`` in [-1, 1].

    Args:
        picture: The picture; other proportions are squeezed.
        size: Rows and columns.
        where: Place for the error message.

    Raises:
        anyloom.errors.MediaError: It is no picture of three channels.
    """
    if picture.ndim != 3 or picture.shape[0] != 3 or 0 in picture.shape:
        raise MediaError(
            f"a picture is a tensor (3, H, W), got {tuple(picture.shape)}", where=where, fix="convert it to RGB"
        )
    values = picture.float() / (255 if picture.dtype == torch.uint8 else 1)
    if values.shape[1:] != (size, size):
        values = F.interpolate(values[None], (size, size), mode="bicubic", antialias=True)[0]
    return 2 * values.clamp(0, 1) - 1


def to_picture(output: Tensor) -> Tensor:
    """Return values in about [-1, 1] as a float32 picture in [0, 1] on the CPU, any leading dimensions."""
    return (output.float() / 2 + 0.5).clamp(0, 1).cpu()


def to_pictures(decoded: Tensor, features: Tensor, modality: str) -> list[Media]:
    """Make media of network output ``(B, 3, H, W)``, each with the features ``(L, D)`` it was made from."""
    pairs = zip(to_picture(decoded), features.detach().float().cpu(), strict=True)
    return [Media(modality, data=picture, features=feature) for picture, feature in pairs]
