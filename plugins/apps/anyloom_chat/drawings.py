"""What is drawn below a player: the picture that a modality shows of a medium beside what plays it."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from anyloom.errors import AnyloomError
from anyloom.media import read_media
from anyloom.media.files import io_for

__all__ = ["Drawn", "drawn_below"]

_PLAYER: Final = re.compile(r"<(audio|video)\b", re.ASCII)
_PICTURE: Final = re.compile(r"<img\b[^>]*>", re.ASCII)
_REMEMBERED: Final = 256


@dataclass(frozen=True)
class Drawn:
    """A drawing.

    Args:
        html: An ``<img>`` that holds its picture.
    """

    html: str


@functools.lru_cache(_REMEMBERED)
def drawn_below(file: Path) -> Drawn | None:
    """The drawing of a medium that is played and drawn, such as the spectrogram of a sound; None for others.

    Files of a conversation are named by their content, so what was drawn once stays right.
    """
    try:
        media = read_media(file)
        shown = io_for(media.modality).to_html(media)
    except AnyloomError:  # what cannot be drawn can still be downloaded
        return None
    picture = _PICTURE.search(shown)
    return Drawn(picture[0]) if picture and _PLAYER.search(shown) else None
