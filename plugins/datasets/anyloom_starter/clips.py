"""Clips made from drawings of the pack: a drawing comes in from the left, two seconds long.

What can be done to them: the pixel edits of pictures, frame by frame, and playing them backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom_starter.edits import PIXEL_EDITS
from anyloom_starter.pack import Picture, load_pack, picture_pixels

__all__ = ["CLIP_EDITS", "FPS", "PREFIX", "clip_media", "clip_of_key", "coming_in"]

FPS: Final = 4.0
PREFIX: Final = "clip/"
_FRAMES: Final = 8


def coming_in(pixels: Tensor) -> Tensor:
    """Frames ``(8, 3, H, W)`` of a picture ``(3, H, W)`` that moves in from the left, over its own corner's colour.

    >>> shown = coming_in(torch.arange(8).expand(3, 1, 8))
    >>> shown[1, 0, 0].tolist()  # its right quarter is seen
    [6, 7, 0, 0, 0, 0, 0, 0]
    """
    width = pixels.shape[-1]
    ground = pixels[:, :1, :1].expand_as(pixels)
    frames = []
    for number in range(1, _FRAMES + 1):
        seen = width * number // _FRAMES
        frames.append(torch.cat([pixels[..., width - seen :], ground[..., : width - seen]], -1))
    return torch.stack(frames)


def _backwards(frames: Tensor) -> Tensor:
    return frames.flip(0)


def _each(edit: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda frames: torch.stack([edit(frame) for frame in frames])


CLIP_EDITS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = MappingProxyType(
    {**{name: _each(edit.apply) for name, edit in PIXEL_EDITS.items()}, "time/backwards": _backwards}
)
"""Operation -> frames ``(T, 3, H, W)`` to frames."""

_BY_WORD: Final = {name.split("/")[1]: edit for name, edit in CLIP_EDITS.items()}


@dataclass(frozen=True)
class _Film:
    """Makes the clip that a key names, uint8 ``(8, 3, 64, 64)``; picklable."""

    key: str

    def __call__(self) -> Tensor:
        name, *edits = self.key.removeprefix(PREFIX).split("@")
        frames = coming_in(picture_pixels(load_pack().picture(name)))
        return reduce(lambda result, edit: _BY_WORD[edit](result), edits, frames)


def clip_media(picture: Picture, *edits: str) -> Media:
    """Return the clip of a drawing after edits such as ``time/backwards``, in the order they are applied.

    >>> clip = clip_media(load_pack().picture("noto/1f98b"), "time/backwards")
    >>> clip.key, tuple(clip.tensor().shape)
    ('clip/noto/1f98b@backwards', (8, 3, 64, 64))
    """
    return clip_of_key("@".join([f"{PREFIX}{picture.key}", *(edit.split("/")[1] for edit in edits)]))


def clip_of_key(key: str) -> Media:
    """Return the clip that has this key; it is made when its tensor is asked for."""
    return Media("video", loader=_Film(key), key=key, meta={"fps": FPS})
