"""The sound of a container (M4A, AAC, MP4, Matroska) through FFmpeg, block by block. Needs PyAV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av

from anyloom_media.containers import opened_container
from anyloom_media.files import unreadable

__all__ = ["blocks"]


def blocks(path: Path, check: Callable[[int, int], None]) -> Iterator[Any]:
    """Yield float32 samples ``(T, channels)`` in about -1..1, at the rate and with the channels of the file.

    Args:
        path: The file.
        check: Called with rate and channels before anything is decoded; may raise.

    Raises:
        anyloom.errors.MediaError: The file is missing, truncated, or holds no sound.
    """
    with opened_container(path, "audio") as container:
        if not container.streams.audio:
            raise unreadable(path, "audio", "it holds no sound")
        stream = container.streams.audio[0]
        check(int(stream.rate or 0), int(stream.channels))
        # Only the sample format changes: rate and layout stay, so that no sample is added or lost.
        converter = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        for frame in container.decode(stream):
            frame.pts = None  # a gap is not filled: times of frames are those of the container's clock
            for converted in converter.resample(frame):
                yield converted.to_ndarray().T
        for converted in converter.resample(None):
            yield converted.to_ndarray().T
