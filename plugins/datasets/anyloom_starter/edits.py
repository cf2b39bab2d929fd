"""What can be done to a picture or a sound of the pack, and how one asks for it.

Pixel operations (families ``geometry`` and ``colour``) take uint8 tensors (..., 3, H, W) with H = W and leave
white as it is. Content operations (``style``, ``tone``, ``gender``) look up another drawing of the pack. Each has
a stable name ``family/...`` that starts with its family, and several ways to ask for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor

from anyloom_starter.pack import Picture, load_pack


@dataclass(frozen=True)
class PixelEdit:
    """An operation on pixels.

    Attributes:
        name: Stable name, such as ``geometry/mirror``.
        phrasings: Ways to ask for it.
        apply: The operation on uint8 (..., 3, H, W).
    """

    name: str
    phrasings: tuple[str, ...]
    apply: Callable[[Tensor], Tensor]

    @property
    def family(self) -> str:
        """Return ``geometry`` or ``colour``."""
        return self.name.split("/")[0]


@dataclass(frozen=True)
class ContentEdit:
    """An operation whose result is another picture of the pack.

    Attributes:
        name: Stable name with what it changes from and to, such as ``tone/none/dark``.
        target: The picture that results.
    """

    name: str
    target: Picture

    @property
    def family(self) -> str:
        """Return ``style``, ``tone`` or ``gender``."""
        return self.name.split("/")[0]


def _mirror(pixels: Tensor) -> Tensor:
    return pixels.flip(-1)


def _upside_down(pixels: Tensor) -> Tensor:
    return pixels.flip(-1, -2)


def _turn_left(pixels: Tensor) -> Tensor:
    return pixels.rot90(1, (-2, -1))


def _turn_right(pixels: Tensor) -> Tensor:
    return pixels.rot90(-1, (-2, -1))


def _shift_third(pixels: Tensor) -> Tensor:
    return pixels.roll(1, -3)


def _shift_two_thirds(pixels: Tensor) -> Tensor:
    return pixels.roll(-1, -3)


def _opposite(pixels: Tensor) -> Tensor:
    """Turn every hue by half a circle and keep how light it is: max + min - value."""
    values = pixels.to(torch.int16)
    return (values.amax(-3, keepdim=True) + values.amin(-3, keepdim=True) - values).to(torch.uint8)


def _grey(pixels: Tensor) -> Tensor:
    """Take the luma of ITU-R BT.601 in all three channels."""
    weights = torch.tensor([299, 587, 114], dtype=torch.int32)[:, None, None]
    luma = ((pixels.to(torch.int32) * weights).sum(-3, keepdim=True) + 500) // 1000
    return luma.to(torch.uint8).expand_as(pixels).contiguous()


def _pale(pixels: Tensor) -> Tensor:
    return ((pixels.to(torch.int16) + 256) // 2).to(torch.uint8)


def _dark(pixels: Tensor) -> Tensor:
    values = pixels.to(torch.int32)
    return ((values * values + 127) // 255).to(torch.uint8)


_ALL_PIXEL_EDITS: Final = (
    PixelEdit(
        "geometry/mirror",
        ("mirror it left to right", "flip it horizontally", "show its mirror image", "swap left and right"),
        _mirror,
    ),
    PixelEdit(
        "geometry/upside-down",
        ("turn it upside down", "rotate it by half a turn", "put it on its head"),
        _upside_down,
    ),
    PixelEdit(
        "geometry/turn-left",
        ("turn it a quarter to the left", "rotate it counterclockwise", "tip it over to the left"),
        _turn_left,
    ),
    PixelEdit(
        "geometry/turn-right",
        ("turn it a quarter to the right", "rotate it clockwise", "tip it over to the right"),
        _turn_right,
    ),
    PixelEdit(
        "colour/shift-third",
        ("shift the colours by a third", "turn red into green and green into blue", "rotate the hues by a third"),
        _shift_third,
    ),
    PixelEdit(
        "colour/shift-two-thirds",
        ("shift the colours by two thirds", "turn red into blue and blue into green", "rotate the hues by two thirds"),
        _shift_two_thirds,
    ),
    PixelEdit(
        "colour/opposite",
        ("swap each colour for its opposite", "use the complementary colours", "rotate the hues by half"),
        _opposite,
    ),
    PixelEdit(
        "colour/grey",
        ("take the colour out", "make it black and white", "turn it into shades of grey"),
        _grey,
    ),
    PixelEdit("colour/pale", ("make it paler", "fade it", "wash the colours out"), _pale),
    PixelEdit("colour/dark", ("make it darker", "deepen the colours", "darken it"), _dark),
)

PIXEL_EDITS: Final = MappingProxyType({edit.name: edit for edit in _ALL_PIXEL_EDITS})

_CONTENT_PHRASINGS: Final = MappingProxyType(
    {
        "style": ("draw it in the {} style", "redraw it as {}", "change the style to {}", "make it look like {}"),
        "tone": ("make the skin tone {}", "give it a {} skin tone", "change the skin tone to {}"),
        "gender": ("show a {} instead", "make it a {}", "change the person to a {}"),
    }
)
_NO_TONE: Final = ("take the skin tone away", "use the yellow of cartoons for the skin", "make the skin plain yellow")


def phrasings(name: str) -> tuple[str, ...]:
    """Return the ways to ask for the operation of that name.

    >>> phrasings("tone/none/dark")[0]
    'make the skin tone dark'
    """
    if name in PIXEL_EDITS:
        return PIXEL_EDITS[name].phrasings
    family, _, after = name.split("/")
    if (family, after) == ("tone", "none"):
        return _NO_TONE
    return tuple(phrasing.format(after) for phrasing in _CONTENT_PHRASINGS[family])


def content_edits(picture: Picture) -> tuple[ContentEdit, ...]:
    """Return what can be done to the content of ``picture``: the other style, other tones, man to woman and back.

    Every other attribute of the target is as in ``picture``.
    """
    style, tone, gender = picture.style, picture.tone, picture.gender
    edits = [
        ContentEdit(f"style/{style}/{other.style}", other)
        for other in _drawings()[picture.base]
        if other.tone == tone and other.style != style
    ]
    edits += [
        ContentEdit(f"tone/{tone}/{other.tone}", other)
        for other in _drawings()[picture.base]
        if other.style == style and other.tone != tone
    ]
    if picture.gender_group is not None and gender in ("man", "woman"):
        edits += [
            ContentEdit(f"gender/{gender}/{other.gender}", other)
            for other in _gendered()[picture.gender_group]
            if (other.style, other.tone) == (style, tone) and other.gender not in (gender, "person")
        ]
    return tuple(edits)


def variants(picture: Picture) -> tuple[Picture, ...]:
    """Return all drawings of the same base, and of the same gender group if there is one; ``picture`` is among them."""
    return _drawings()[picture.base] if picture.gender_group is None else _gendered()[picture.gender_group]


@cache
def _drawings() -> dict[str, tuple[Picture, ...]]:
    """Return base -> its drawings."""
    table: dict[str, list[Picture]] = {}
    for picture in load_pack().pictures:
        table.setdefault(picture.base, []).append(picture)
    return {base: tuple(pictures) for base, pictures in table.items()}


@cache
def _gendered() -> dict[str, tuple[Picture, ...]]:
    """Return gender group -> its drawings."""
    table: dict[str, list[Picture]] = {}
    for picture in load_pack().pictures:
        if picture.gender_group is not None:
            table.setdefault(picture.gender_group, []).append(picture)
    return {group: tuple(pictures) for group, pictures in table.items()}
