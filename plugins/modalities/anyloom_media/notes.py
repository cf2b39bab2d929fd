"""What made a sound or clip, kept in its file as its comment; pictures have a file of their own.

Readers of other programs pass over it: pixels and samples are the same with and without.

Source: Multimedia Programming Interface 1.0 (1991), LIST INFO. Other formats are written by libsndfile and FFmpeg.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import soundfile

from anyloom_media.files import opened

__all__ = ["MOST_CHARACTERS", "chunks", "clip_note", "fits_sound", "note_text", "put_into_wave", "sound_note"]

MOST_CHARACTERS: Final = 1_000_000
"""Longer notes are not read; nothing here writes longer ones."""

_ROOM_IN_OPUS: Final = 50_000
"""Bytes: libsndfile writes the head of an Opus file into one page of Ogg, which holds 65,025."""

_MOST_CHUNKS: Final = 10_000


def fits_sound(subtype: str | None, note: str) -> bool:
    """Whether libsndfile keeps a note in a file of a subtype; WAV is written by :func:`put_into_wave`.

    >>> fits_sound("VORBIS", "made by"), fits_sound("PCM_16", "made by")
    (True, False)
    """
    if subtype == "OPUS":
        return len(note.encode()) <= _ROOM_IN_OPUS
    return subtype in ("PCM_24", "VORBIS", None)


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
    """Return the note of a sound file, empty if there is none or it is none of WAV, FLAC, Ogg and MP3.

    Raises:
        anyloom.errors.MediaError: The file is missing or empty.
    """
    with opened(path) as file:
        start = file.read(12)
        if start[:4] == b"RIFF" and start[8:] == b"WAVE":
            return _wave_note(file)
        if start[:4] not in (b"fLaC", b"OggS") and start[:3] != b"ID3":
            return ""
        os.lseek(file.fileno(), 0, os.SEEK_SET)  # libsndfile reads by the number, past Python's buffer
        try:
            with soundfile.SoundFile(file.fileno(), closefd=False) as sound:
                comment = str(sound.comment or "")
                return _short(_unmixed(comment) if start[:3] == b"ID3" else comment)
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
    for kind, size in chunks(file, "<4sI", padded=True, tail=0, swap=False):
        if kind == b"LIST" and 12 < size <= MOST_CHARACTERS * 4:
            data = file.read(size)
            if data[:8] == b"INFOICMT":
                (length,) = struct.unpack("<I", data[8:12])
                return note_text(data[12 : 12 + length].rstrip(b"\0"))
    return ""


def chunks(file: BinaryIO, head: str, *, padded: bool, tail: int, swap: bool) -> Iterator[tuple[bytes, int]]:
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


def note_text(data: bytes) -> str:
    """A note of bytes; empty if it is too long or no text.

    >>> note_text(b"made by"), note_text(bytes([255, 254]))
    ('made by', '')
    """
    try:
        return _short(data.decode())
    except UnicodeDecodeError:
        return ""


def _unmixed(text: str) -> str:
    """A comment of MP3: LAME takes the bytes of UTF-8 for letters of Latin-1."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def _short(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else ""
