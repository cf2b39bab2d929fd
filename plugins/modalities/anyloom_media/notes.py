"""What made a medium, kept in its file: a text chunk of PNG, a comment of WAV, FLAC, Ogg and clips.

Other formats have no place for it, or none that is long enough. Readers of other programs pass over it: pixels and
samples are the same with and without.

Sources: PNG specification (third edition) 11.3.3.4, iTXt; Multimedia Programming Interface 1.0 (1991), LIST INFO.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import soundfile

from anyloom_media.files import opened

__all__ = ["MOST_CHARACTERS", "clip_note", "picture_note", "put_into_picture", "put_into_wave", "sound_note"]

MOST_CHARACTERS: Final = 1_000_000
"""Longer notes are not read; nothing here writes longer ones."""

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_KEYWORD: Final = b"anyloom"
_HEAD: Final = _KEYWORD + b"\0\0\0\0\0"  # keyword, not compressed, no language, no translated keyword
_MOST_CHUNKS: Final = 10_000


def put_into_picture(content: bytes, note: str) -> bytes:
    """Return a PNG file with a note before its end.

    Args:
        content: A whole PNG file.
        note: What to keep.
    """
    data = _HEAD + note.encode()
    chunk = struct.pack(">I", len(data)) + b"iTXt" + data + struct.pack(">I", zlib.crc32(b"iTXt" + data))
    end = content.rindex(b"IEND") - 4
    return content[:end] + chunk + content[end:]


def picture_note(path: Path) -> str:
    """Return the note of a PNG file, empty if there is none.

    Raises:
        anyloom.errors.MediaError: The file is missing or empty.
    """
    with opened(path) as file:
        if file.read(8) != _SIGNATURE:
            return ""
        for kind, size in _chunks(file, ">I4s", padded=False, tail=4, swap=True):
            if kind == b"iTXt" and size <= MOST_CHARACTERS * 4:
                data = file.read(size)
                if data.startswith(_HEAD):
                    return _text(data[len(_HEAD) :])
    return ""


def put_into_wave(path: Path, note: str) -> None:
    """Add a comment to a RIFF file that has just been written."""
    text = note.encode() + b"\0"
    text += b"\0" * (len(text) % 2)
    comment = b"INFO" + b"ICMT" + struct.pack("<I", len(text)) + text
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.write(b"LIST" + struct.pack("<I", len(comment)) + comment)
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))


def sound_note(path: Path) -> str:
    """Return the note of a sound file, empty if there is none or it is none of WAV, FLAC and Ogg.

    Raises:
        anyloom.errors.MediaError: The file is missing or empty.
    """
    with opened(path) as file:
        start = file.read(12)
        if start[:4] == b"RIFF" and start[8:] == b"WAVE":
            return _wave_note(file)
        if start[:4] not in (b"fLaC", b"OggS"):
            return ""
        os.lseek(file.fileno(), 0, os.SEEK_SET)  # libsndfile reads by the number, past Python's buffer
        try:
            with soundfile.SoundFile(file.fileno(), closefd=False) as sound:
                return _short(str(sound.comment or ""))
        except (soundfile.SoundFileError, RuntimeError, ValueError):
            return ""  # what is wrong with it is said by whoever reads its samples


def clip_note(path: Path) -> str:
    """Return the note of a clip, empty if there is none.

    Raises:
        anyloom.errors.MediaError: The file is missing or empty.
    """
    import av

    with opened(path) as file:
        try:
            with av.open(file, "r") as container:
                found: dict[str, Any] = {key.lower(): value for key, value in container.metadata.items()}
        except (av.error.FFmpegError, ValueError):
            return ""
    return _short(str(found.get("comment", "")))


def _wave_note(file: BinaryIO) -> str:
    for kind, size in _chunks(file, "<4sI", padded=True, tail=0, swap=False):
        if kind == b"LIST" and 12 < size <= MOST_CHARACTERS * 4:
            data = file.read(size)
            if data[:8] == b"INFOICMT":
                (length,) = struct.unpack("<I", data[8:12])
                return _text(data[12 : 12 + length].rstrip(b"\0"))
    return ""


def _chunks(file: BinaryIO, head: str, *, padded: bool, tail: int, swap: bool) -> Iterator[tuple[bytes, int]]:
    """Kind and size of each chunk, the file standing at its content; sizes are not believed beyond the file's end."""
    for _ in range(_MOST_CHUNKS):
        start = file.read(8)
        if len(start) < 8:
            return
        first, second = struct.unpack(head, start)
        kind, size = (second, first) if swap else (first, second)
        place = file.tell()
        yield kind, size
        file.seek(place + size + tail + (size % 2 if padded else 0))


def _text(data: bytes) -> str:
    try:
        return _short(data.decode())
    except UnicodeDecodeError:
        return ""


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else ""
