"""Sounds through libsndfile: block by block up to their true end, channels averaged on the way."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, Final

import soundfile

from anyloom_media.integrity import missing_part, unsized_samples
from anyloom_media.mp3 import read_frames, to_be_read_whole
from anyloom_media.ogg import links

__all__ = ["READ_FORMATS", "blocks", "sample_rate"]

READ_FORMATS: Final = ("WAV", "WAVEX", "RF64", "FLAC", "OGG", "MP3", "AIFF")
_BLOCK: Final = 1 << 16
_NO_LENGTH: Final = 1 << 62
_MOST_BYTES: Final = 1 << 30


class _Stream(soundfile.SoundFile):  # type: ignore[misc]
    """Read from start to end, without the seeks and the cut at the header's length of the base class."""

    def seekable(self) -> bool:
        return False


def _stream(file: BinaryIO) -> _Stream:
    """Open a file by its number: through Python, a wild seek of a broken file would be an error nobody can catch."""
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    return _Stream(file.fileno(), closefd=False)


def sample_rate(file: BinaryIO) -> int:
    """Return the rate in Hz from the header."""
    with _stream(file) as stream:
        return int(stream.samplerate)


def blocks(file: BinaryIO, check: Callable[[int, int], None]) -> Iterator[Any]:
    """Yield float32 samples ``(T, channels)``, block by block.

    Args:
        file: Open for reading.
        check: Called with rate and channels before anything is decoded; may raise.

    Raises:
        ValueError: The sound is truncated, or of no format that is read.
    """
    if lack := missing_part(file):
        raise ValueError(lack)
    starts = links(file)
    if len(starts) > 1:  # recordings of radio are: libsndfile would end at the first link
        yield from _chained(file, starts, check)
        return
    longer, skip, expected = _whole(file)
    with contextlib.nullcontext(file) if longer is None else _temporary(longer) as source, _stream(source) as stream:
        if stream.format not in READ_FORMATS:
            raise ValueError(f"its content is {stream.format}, none of {', '.join(READ_FORMATS)}")
        check(int(stream.samplerate), int(stream.channels))
        if expected is None and 0 < stream.frames < _NO_LENGTH:
            expected = int(stream.frames)
        stream.read(skip, dtype="float32")
        got = 0
        while len(block := stream.read(_BLOCK, dtype="float32", always_2d=True)):
            got += len(block)
            yield block
    if expected is not None and got < expected:
        raise ValueError(f"{got} of {expected} samples are there")


def _chained(file: BinaryIO, starts: Sequence[int], check: Callable[[int, int], None]) -> Iterator[Any]:
    """The links of a chained Ogg file one after another, each on its own."""
    first: list[int] = []

    def checked(rate: int, channels: int) -> None:
        check(rate, channels)
        first.append(rate)
        if rate != first[0]:
            raise ValueError(f"its links are of {first[0]} and {rate} Hz")

    for begin, end in zip(starts, [*starts[1:], file.seek(0, os.SEEK_END)]):
        if end - begin > _MOST_BYTES:
            raise ValueError(f"a link of more than {_MOST_BYTES} bytes")
        file.seek(begin)
        with _temporary(file.read(end - begin)) as link:
            yield from blocks(link, checked)


@contextlib.contextmanager
def _temporary(content: bytes) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file


def _whole(file: BinaryIO) -> tuple[bytes | None, int, int | None]:
    """What libsndfile is to read instead of the file (if at all), the samples to skip, and how many must follow.

    Raises:
        ValueError: The file is truncated, or too large.
    """
    start = file.read(12)
    place = unsized_samples(file)
    file.seek(0)
    if place is None and start[:3] != b"ID3" and start[:1] != b"\xff":
        return None, 0, None
    content = file.read(_MOST_BYTES + 1)
    file.seek(0)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES} bytes")
    if place is not None:
        size = len(content) - place - 4
        return content[:place] + size.to_bytes(4, "little") + content[place + 4 :], 0, None
    found = read_frames(content)
    if found is None:
        return None, 0, None
    if found.declared is not None and found.frames < found.declared:
        raise ValueError(f"{found.frames} of {found.declared} frames are there")
    if found.cut:
        raise ValueError("the last frame is cut")
    if found.frames == found.declared:  # then libsndfile also cuts what the encoder added, which it alone knows
        return None, 0, None
    return to_be_read_whole(content, found)
