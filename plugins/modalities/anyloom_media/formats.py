"""What a file is by its first bytes, whatever it is called. Light: no library is imported to tell."""

from __future__ import annotations

from typing import Final

__all__ = ["START", "container_format", "is_sound_file"]

START: Final = 16
"""Bytes that are enough to tell."""

_BOXES: Final = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")


def container_format(start: bytes) -> str:
    """Return FFmpeg's name for the container that a file begins like, or an empty string.

    >>> container_format(b"\\x00\\x00\\x00\\x18ftypmp42"), container_format(b"#EXTM3U\\n/etc/passwd")
    ('mp4', '')
    """
    if start[4:8] in _BOXES:
        return "mp4"
    if start[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        return "avi"
    return "aac" if _mpeg(start, 0xF6, 0xF0) else ""


def is_sound_file(start: bytes) -> bool:
    """Whether a file begins like WAV, AIFF, FLAC, Ogg or MP3.

    >>> is_sound_file(b"fLaC\\x00\\x00\\x00\\x22"), is_sound_file(b"\\x00\\x00\\x00\\x18ftypM4A ")
    (True, False)
    """
    if start[:4] in (b"RIFF", b"RF64", b"FORM"):
        return start[8:12] in (b"WAVE", b"AIFF", b"AIFC")
    return start[:4] in (b"fLaC", b"OggS") or start[:3] == b"ID3" or _mpeg(start, 0xE6, 0xE2)


def _mpeg(start: bytes, mask: int, value: int) -> bool:
    """Whether an MPEG frame begins here; the mask tells layer 3 (MP3) from AAC."""
    return start[:1] == b"\xff" and len(start) > 1 and start[1] & mask == value
