"""Frames of a clip, decoded one by one; only those that are wanted become pixels and are kept."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from av.stream import Disposition
from torch import Tensor

from anyloom.errors import MediaError
from anyloom_media.containers import opened_container
from anyloom_media.files import limit, unreadable
from anyloom_media.timeline import Timeline, timeline

__all__ = ["Clip", "Limits", "clip_at", "read_frames"]

_REMEMBERED: Final = 256
_CHANNELS: Final = 3


@dataclass(frozen=True)
class Limits:
    """What a clip may have; see the options of :class:`anyloom_media.video.VideoIO`."""

    max_seconds: float
    max_frames: int
    max_pixels: int
    max_fps: float
    max_bytes: int


@dataclass(frozen=True)
class Clip:
    """What is known of a clip once it was decoded.

    Args:
        timeline: When its frames are shown.
        height: Pixels of a frame as it is stored.
        width: Pixels of a frame as it is stored.
        quarters: Quarter turns counter-clockwise that bring a frame upright.
    """

    timeline: Timeline
    height: int
    width: int
    quarters: int

    def reduced(self, side: int | None) -> tuple[int, int]:
        """Height and width of a stored frame whose shorter side has ``side`` pixels, if it has more than that."""
        shorter = min(self.height, self.width)
        if side is None or side >= shorter:
            return self.height, self.width
        return -(-self.height * side // shorter), -(-self.width * side // shorter)


def clip_at(path: Path, limits: Limits) -> Clip:
    """Decode a clip once, keep nothing of its frames, and return what it is. Remembered while the file stays as it is.

    Raises:
        anyloom.errors.MediaError: The file is missing, truncated, holds no pictures or is beyond a limit.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise MediaError("there is no such file", where=str(path), fix="check the path", reason="missing") from error
    return _clip(str(path), status.st_mtime_ns, status.st_size, limits)


@functools.lru_cache(_REMEMBERED)
def _clip(path: str, changed: int, size: int, limits: Limits) -> Clip:
    del changed, size  # they are there as part of the key
    times: list[Fraction] = []
    first = last = declared = None
    for frame, time, rate in _decoded(Path(path), limits):
        first, last, declared = first or frame, frame, rate
        times.append(time)
    if first is None or last is None:
        raise unreadable(Path(path), "video", "none of its frames can be decoded")
    shown = timeline(times, (last.duration or 0) * (last.time_base or Fraction(0)), declared)
    if shown is None:
        raise unreadable(Path(path), "video", "nothing in it tells how long its frame is shown")
    limit(Path(path), "frames per second", float(shown.fps), limits.max_fps, "max_fps")
    return Clip(shown, first.height, first.width, round(first.rotation / 90) % 4)


def read_frames(path: Path, steps: Sequence[int] | None, side: int | None, limits: Limits) -> Tensor:
    """Read some steps of a clip as uint8 ``(N, 3, h, w)``, upright.

    The clip is decoded once for its timeline and once up to the last frame that is wanted.

    Args:
        path: The file.
        steps: Which steps, in the order wanted; None for all.
        side: Frames are reduced to this shorter side, if they have more.
        limits: What the clip may have.

    Raises:
        anyloom.errors.MediaError: As for :func:`clip_at`, or there is no such step.
    """
    clip = clip_at(path, limits)
    wanted = list(range(len(clip.timeline))) if steps is None else [int(step) for step in steps]
    if wrong := [step for step in wanted if not 0 <= step < len(clip.timeline)]:
        raise MediaError(f"the clip has {len(clip.timeline)} frames, no frame {wrong[0]}", where=str(path))
    height, width = clip.reduced(side)
    limit(path, "bytes of frames", len(wanted) * _CHANNELS * height * width, limits.max_bytes, "max_bytes")
    upright = (width, height) if clip.quarters % 2 else (height, width)
    data = torch.empty((len(wanted), _CHANNELS, *upright), dtype=torch.uint8)
    places: dict[int, list[int]] = {}
    for place, step in enumerate(wanted):
        places.setdefault(clip.timeline.frame(step), []).append(place)
    for number, (frame, _, _) in enumerate(_decoded(path, limits)):
        if not places:
            break
        if number in places:
            data[places.pop(number)] = _pixels(frame, height, width, clip.quarters)
    if places:
        raise unreadable(path, "video", "it changed while it was read")
    return data


def _pixels(frame: Any, height: int, width: int, quarters: int) -> Tensor:
    """A decoded frame as uint8 ``(3, h, w)``, reduced, then turned as the camera's display matrix asks."""
    size = {} if (frame.height, frame.width) == (height, width) else {"height": height, "width": width}
    array = frame.to_ndarray(format="rgb24", **size, **({"interpolation": "AREA"} if size else {}))
    return torch.from_numpy(np.ascontiguousarray(np.rot90(array, quarters))).permute(2, 0, 1)


def _decoded(path: Path, limits: Limits) -> Iterator[tuple[Any, Fraction, Fraction | None]]:
    """Yield each frame, the second that it is shown at, and the header's rate; limits are checked on the way."""
    with opened_container(path, "video") as container:
        stream = container.streams.best("video")  # the cover of a recording is none, where there is another
        if stream is None or stream.disposition & Disposition.attached_pic:
            if container.streams.audio:
                fix = f"read it as a sound: audio:{path} on the command line, modality='audio' in Python"
                raise MediaError("it holds sound alone", where=str(path), fix=fix)
            raise unreadable(path, "video", "it holds no pictures")
        rate = stream.average_rate
        start, count = None, 0
        for packet in container.demux(stream):
            limit(path, "pixels", stream.width * stream.height, limits.max_pixels, "max_pixels")
            if packet.is_corrupt:
                raise unreadable(path, "video", f"frame {count} is cut")
            for frame in packet.decode():
                limit(path, "pixels", frame.width * frame.height, limits.max_pixels, "max_pixels")
                time = count / (rate or Fraction(25)) if frame.pts is None else frame.pts * frame.time_base
                start, count = time if start is None else start, count + 1
                limit(path, "frames", count, limits.max_frames, "max_frames")
                limit(path, "seconds", float(abs(time - start)), limits.max_seconds, "max_seconds")
                yield frame, time, rate
