"""Finds truncated sound files that decoders accept in silence, by what the containers say of their own length."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["missing_part"]

_UNKNOWN_SIZES: Final = (0, 0xFFFFFFFF, 0x7FFFFFFF)
_OGG_PAGE_LIMIT: Final = 65307
_LAST_PAGE: Final = 4


def missing_part(path: Path) -> str:
    """Return what a WAV or Ogg file lacks by its own account, or an empty string.

    A WAV says its size at the start (unless it was written as a stream); the last page of an Ogg stream is
    marked. Other formats are left to their decoders.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        if start[:4] == b"RIFF" and start[8:] == b"WAVE":
            declared = int.from_bytes(start[4:8], "little")
            short = declared not in _UNKNOWN_SIZES and declared + 8 > size + 1  # one padding byte is often left out
            return f"{size} of {declared + 8} bytes are there" if short else ""
        if start[:4] == b"OggS":
            file.seek(max(0, size - _OGG_PAGE_LIMIT))
            end = file.read()
            page = end.rfind(b"OggS")
            return "" if page >= 0 and end[page + 5] & _LAST_PAGE else "the last page is missing"
    return ""
