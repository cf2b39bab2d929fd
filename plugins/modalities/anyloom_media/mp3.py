"""The true length of an MP3: counted frame by frame, because libsndfile believes the header, or guesses where none is.

Frame headers as in ISO/IEC 11172-3, section 2.4.2.3; the frame that tells the length ("Xing" or "Info") is a de facto
standard.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["Mp3", "read_frames", "to_be_read_whole"]

_RATES: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_BITRATES: Final = {
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_LAYER_3: Final = 1
_MONO: Final = 3
_SEARCH: Final = 1 << 16


@dataclass(frozen=True)
class _Header:
    """One frame's header."""

    version: int
    rate: int
    length: int
    mono: bool

    @property
    def side_information(self) -> int:
        """Bytes between the header and the place where "Xing" stands."""
        return (17 if self.mono else 32) if self.version == 3 else (9 if self.mono else 17)


@dataclass(frozen=True)
class Mp3:
    """What is found in the bytes of a file.

    Args:
        first: Place of the first frame.
        end: Where the last whole frame ends.
        frames: Whole frames of sound.
        declared: Frames that the file says it has, None if it does not say.
        cut: Whether the last frame is incomplete.
    """

    first: int
    end: int
    frames: int
    declared: int | None
    cut: bool


def read_frames(content: bytes) -> Mp3 | None:
    """Count the frames; None for what is no MPEG layer 3 stream of known bit rates.

    >>> frame = bytes([0xFF, 0xFB, 0x90, 0x00]) + bytes(413)  # 128 kbit/s at 44.1 kHz: 417 bytes
    >>> read_frames(frame * 3)
    Mp3(first=0, end=1251, frames=3, declared=None, cut=False)
    """
    position = _next(content, _after_tags(content), 1 << 20)
    if position is None:
        return None
    first, end, frames, cut = position, position, 0, False
    declared, is_information = _declared(content, first)
    while position is not None and (header := _header(content, position)):
        cut = position + header.length > len(content)
        if not cut:
            end, frames = position + header.length, frames + 1
        position += header.length
        if position < len(content) and not _header(content, position):
            position = _next(content, position, _SEARCH)
    return Mp3(first, end, frames - is_information, declared, cut)


def to_be_read_whole(content: bytes, found: Mp3) -> tuple[bytes, int, int]:
    """Return the stream in a form that libsndfile reads to its end, the samples to skip, and those that follow.

    Without a frame that tells the length, libsndfile guesses it from the sizes of the file and of the first frame,
    and reads no further. So a silent frame of the lowest bit rate goes first: no frame is smaller, and the guess is
    never too short.
    """
    first = _header(content, found.first)
    assert first is not None, "there is a frame where read_frames found one"
    _, is_information = _declared(content, found.first)
    start = found.first + (first.length if is_information else 0)
    head = bytearray(content[start : start + 4])
    head[1] |= 1  # no checksum
    head[2] = 1 << 4 | head[2] & 0b1100  # the lowest bit rate, the same sample rate, no padding
    lowest = _header(bytes(head), 0)
    assert lowest is not None, "the lowest bit rate is a valid one"
    silence = bytes(head).ljust(lowest.length, b"\0")
    samples = 1152 if first.version == 3 else 576
    return silence + content[start : found.end], samples, found.frames * samples


def _after_tags(content: bytes) -> int:
    """Where the ID3v2 tags at the start end."""
    position = 0
    while content[position : position + 3] == b"ID3" and len(content) >= position + 10:
        size = content[position + 6 : position + 10]
        footer = 10 if content[position + 5] & 0x10 else 0
        position += 10 + footer + sum((byte & 0x7F) << 7 * (3 - n) for n, byte in enumerate(size))
    return position


def _next(content: bytes, position: int, within: int) -> int | None:
    """The next frame that another frame follows, or that ends the file."""
    end = min(len(content), position + within)
    while (position := content.find(b"\xff", position, end)) >= 0:
        if header := _header(content, position):
            follower = _header(content, position + header.length)
            if position + header.length == len(content) or (follower and follower.rate == header.rate):
                return position
        position += 1
    return None


def _header(content: bytes, position: int) -> _Header | None:
    head = content[position : position + 4]
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer != _LAYER_3 or bitrate in (0, 15) or rate == 3:
        return None
    hertz = _RATES[version][rate]
    kilobits = _BITRATES[3 if version == 3 else 2][bitrate - 1]
    length = (144 if version == 3 else 72) * kilobits * 1000 // hertz + padding
    return _Header(version, hertz, length, head[3] >> 6 == _MONO)


def _declared(content: bytes, first: int) -> tuple[int | None, bool]:
    """The frames that the first frame says there are, and whether that frame holds information instead of sound."""
    header = _header(content, first)
    if header is None:
        return None, False
    xing = first + 4 + header.side_information
    if content[xing : xing + 4] in (b"Xing", b"Info"):
        told = content[xing + 7] & 1 if len(content) > xing + 12 else 0
        return (int.from_bytes(content[xing + 8 : xing + 12], "big") if told else None), True
    return None, content[first + 36 : first + 40] == b"VBRI"
