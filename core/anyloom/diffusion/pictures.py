"""Pictures as the autoencoder's input and output: of one size, in [-1, 1]."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.errors import MediaError
from anyloom.interfaces.component import ComponentConfig
from anyloom.options import WrongOptionsError
from anyloom.signal.resizing import Fit, resized

__all__ = ["PictureOptions", "to_network", "to_picture", "to_pictures"]


class PictureOptions(ComponentConfig):
    """How pictures of any proportions become what the autoencoder takes.

    Args:
        picture_size: Rows and columns, in pixels: one number for squares, or ``[height, width]``.
        fit: What happens to other proportions: ``cover`` scales and cuts off the ends, as encoders of pictures do,
            so that both see the same; ``pad`` fills up with white; ``squeeze`` changes the proportions.

    >>> PictureOptions(picture_size=(32, 64)).height_width
    (32, 64)
    """

    picture_size: PositiveInt | tuple[PositiveInt, PositiveInt]
    fit: Fit = "cover"

    @property
    def height_width(self) -> tuple[int, int]:
        """Rows and columns of a picture."""
        size = self.picture_size
        return (int(size[0]), int(size[1])) if isinstance(size, tuple) else (int(size), int(size))

    def require_multiple_of(self, reduction: int) -> None:
        """Raise unless an autoencoder with so many times fewer rows and columns takes pictures of this size."""
        if any(number % reduction for number in self.height_width):
            raise WrongOptionsError({"picture_size": f"not a multiple of {reduction}"})


def to_network(picture: Tensor, options: PictureOptions, where: str = "") -> Tensor:
    """Return a picture ``(3, H, W)``, uint8 or float in 0..1, as float32 ``(3, height, width)`` in [-1, 1].

    Args:
        picture: The picture.
        options: The size wanted, and how others are brought to it.
        where: Place for the error message.

    Raises:
        anyloom.errors.MediaError: It is no picture of three channels.

    >>> to_network(torch.ones(3, 4, 6), PictureOptions(picture_size=2)).shape
    torch.Size([3, 2, 2])
    """
    if picture.ndim != 3 or picture.shape[0] != 3 or 0 in picture.shape:
        raise MediaError(
            f"a picture is a tensor (3, H, W), got {tuple(picture.shape)}", where=where, fix="convert it to RGB"
        )
    values = picture.float() / (255 if picture.dtype == torch.uint8 else 1)
    return 2 * resized(values, options.height_width, fit=options.fit).clamp(0, 1) - 1


def to_picture(output: Tensor) -> Tensor:
    """Return values in about [-1, 1] as a float32 picture in [0, 1] on the CPU, any leading dimensions.

    >>> to_picture(torch.zeros(3, 2, 2)).shape
    torch.Size([3, 2, 2])
    """
    return (output.float() / 2 + 0.5).clamp(0, 1).cpu()


def to_pictures(decoded: Tensor, features: Tensor, modality: str) -> list[Media]:
    """Make media of network output ``(B, 3, H, W)``, each with the features ``(L, D)`` it was made from.

    >>> made = to_pictures(torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 8), "picture")
    >>> len(made), made[0].features.shape
    (2, torch.Size([1, 8]))
    """
    pairs = zip(to_picture(decoded), features.detach().float().cpu(), strict=True)
    return [Media(modality, data=picture, features=feature) for picture, feature in pairs]
