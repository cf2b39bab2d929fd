"""Finds truncated files that decoders accept in silence, by what the containers say of their own length.

Only sizes in bytes are believed: what a header says of frames or seconds may be an estimate, or count what an edit list
hides.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import BinaryIO, Final, Literal

__all__ = ["missing_part", "unsized_samples"]

_UNKNOWN: Final = 0x7FFFF000
"""Streams say a size from here on, or 0, because it was not known when the header was written."""

_OGG_PAGE_LIMIT: Final = 65307
_OGG_FLAGS: Final = 5
_LAST_PAGE: Final = 4
_SEGMENT: Final = b"\x18\x53\x80\x67"
_MOST_PARTS: Final = 100_000


def missing_part(file: BinaryIO) -> str:
    """Return what a file lacks by its own account, or an empty string.

    WAV, AVI, MP4 and Matroska say the sizes of their parts (unless they were written as a stream); the last page of an
    Ogg stream is marked. Other formats are left to their decoders.

    Args:
        file: Open for reading; it is left at its start.

    >>> import io
    >>> missing_part(io.BytesIO(b"RIFF" + (100).to_bytes(4, "little") + b"WAVE"))
    '12 of 107 bytes are there'
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(12)
    if start[:4] == b"OggS":
        lack = _ogg(file, size)
    else:
        end = max(_ends(file, start, size), default=0)
        lack = f"{size} of {end} bytes are there" if end > size else _stray(file, start, size)
    file.seek(0)
    return lack


def unsized_samples(file: BinaryIO) -> int | None:
    """Return where a WAV says that it has 0 bytes of samples although some follow: its writer never came back to say.

    Args:
        file: Open for reading; its place changes.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(12)
    if start[:4] != b"RIFF" or start[8:] != b"WAVE":
        return None
    for end in itertools.chain([12], _chunks(file, size, "little")):
        position = end + end % 2
        file.seek(position)
        head = file.read(8)
        if head == b"data\0\0\0\0" and size > position + 8:
            return position + 4
    return None


def _ends(file: BinaryIO, start: bytes, size: int) -> Iterator[int]:
    """Where the parts of a file end by what they say."""
    if start[:4] == b"RIFF":
        yield from _riff(file, size, "little")
        yield from _chunks(file, size, "little") if start[8:12] == b"WAVE" else ()
    elif start[:4] == b"FORM":
        yield from _riff(file, size, "big")
        yield from _chunks(file, size, "big")
    elif start[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
        yield from _boxes(file, size)
    elif start[:4] == b"\x1a\x45\xdf\xa3":
        yield from _matroska(file)


def _riff(file: BinaryIO, size: int, order: Literal["little", "big"]) -> Iterator[int]:
    position = 0
    while position + 12 <= size:  # a long AVI has several
        file.seek(position)
        start = file.read(8)
        length = int.from_bytes(start[4:], order)
        if start[:4] not in (b"RIFF", b"FORM") or not 0 < length < _UNKNOWN:
            return
        position += 8 + length
        yield position - 1  # one padding byte is often left out


def _chunks(file: BinaryIO, size: int, order: Literal["little", "big"]) -> Iterator[int]:
    """The chunks inside a sound: the header of the whole may be that of a stream, and the samples' chunk still say."""
    position = 12
    for _ in range(_MOST_PARTS):
        file.seek(position)
        head = file.read(8)
        length = int.from_bytes(head[4:], order)
        if len(head) < 8 or not _is_name(head[:4]) or not 0 < length < _UNKNOWN:
            return
        yield position + 8 + length
        position += 8 + length + length % 2


def _stray(file: BinaryIO, start: bytes, size: int) -> str:
    """What to say of bytes behind the parts of a sound that are no part themselves; zeros there are padding."""
    if (start[:4], start[8:12]) != (b"RIFF", b"WAVE") and start[:4] != b"FORM":
        return ""
    end = max(_chunks(file, size, _order(start)), default=len(start))
    end += end % 2
    file.seek(end)
    head = file.read(8)
    if len(head) < 8 or _is_name(head[:4]) or not any(head):
        return ""
    return f"its parts end at byte {end} by what they say, and {size - end} more bytes follow that are none"


def _order(start: bytes) -> Literal["little", "big"]:
    return "little" if start[:4] == b"RIFF" else "big"


def _is_name(name: bytes) -> bool:
    """Whether this may name a chunk: four printable characters of ASCII."""
    return all(0x20 <= byte < 0x7F for byte in name)


def _boxes(file: BinaryIO, size: int) -> Iterator[int]:
    position = 0
    for _ in range(_MOST_PARTS):
        file.seek(position)
        start = file.read(16)
        length = int.from_bytes(start[:4], "big")
        length = int.from_bytes(start[8:16], "big") if length == 1 else length
        if position >= size or len(start) < 8 or not start[4:8].isalnum() or length < 8:  # 0: up to the end
            return
        position += length
        yield position


def _matroska(file: BinaryIO) -> Iterator[int]:
    file.seek(4)
    header, _ = _vint(file)
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != _SEGMENT:
        return
    length, unknown = _vint(file)
    if not unknown:
        yield file.tell() + length


def _vint(file: BinaryIO) -> tuple[int, bool]:
    """A number of EBML's variable length, and whether it stands for "unknown" (all ones)."""
    first = file.read(1)[:1] or b"\0"
    more = 8 - first[0].bit_length()
    bits = 7 * (more + 1)
    value = int.from_bytes(first + file.read(more), "big") & ((1 << bits) - 1)
    return value, value == (1 << bits) - 1


def _ogg(file: BinaryIO, size: int) -> str:
    file.seek(max(0, size - _OGG_PAGE_LIMIT))
    end = file.read()
    flags = end[end.rfind(b"OggS") :][_OGG_FLAGS : _OGG_FLAGS + 1]
    return "" if flags and flags[0] & _LAST_PAGE else "the last page is missing"
