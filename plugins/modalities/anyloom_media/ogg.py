"""Where the links of a chained Ogg file begin: several streams, one after another, as recordings of radio have them."""

from __future__ import annotations

import os
from typing import BinaryIO, Final

__all__ = ["links"]

_HEADER: Final = 27
_FLAGS, _SEGMENTS = 5, 26
_FIRST_PAGE: Final = 2
_MOST_LINKS: Final = 10_000


def links(file: BinaryIO) -> list[int]:
    """Return where links begin; one place for a file that is no chain, none for a file that is no Ogg.

    Streams that are mixed begin together, and count as one link.

    Args:
        file: Open for reading; it is left at its start.

    Raises:
        ValueError: There are more links than any recording has.
    """
    size, position = file.seek(0, os.SEEK_END), 0
    found: list[int] = []
    beginning = False
    while position + _HEADER <= size:
        file.seek(position)
        head = file.read(_HEADER)
        if head[:4] != b"OggS":
            break  # not for us to judge: decoders look for the next page
        first = bool(head[_FLAGS] & _FIRST_PAGE)
        if first and not beginning:
            found.append(position)
            if len(found) > _MOST_LINKS:
                raise ValueError(f"more than {_MOST_LINKS} links")
        beginning = first
        position += _HEADER + head[_SEGMENTS] + sum(file.read(head[_SEGMENTS]))
    file.seek(0)
    return found
