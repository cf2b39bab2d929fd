"""Which frame of a clip is on the screen when: even steps out of timestamps that need not be even.

A step ``k`` shows the frame that is on the screen at its middle, ``(k + 1/2) / fps`` after the first frame. Where
frames come at a constant rate that is frame ``k`` itself, also with rounded timestamps; where they do not, frames are
shown longer or left out, and the clip keeps its duration.

Decoders give frames in the order in which they are shown. AVI and damaged headers give them times in another order:
then the times are sorted, the frames are not.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["Timeline", "timeline"]


@dataclass(frozen=True)
class Timeline:
    """When the frames of a clip are shown.

    Args:
        starts: Seconds from the first frame to each, ascending.
        fps: Steps per second; a clip has as many steps as frames.
    """

    starts: tuple[Fraction, ...]
    fps: Fraction

    def __len__(self) -> int:
        return len(self.starts)

    def frame(self, step: int) -> int:
        """The number of the frame that a step shows.

        >>> uneven = tuple(Fraction(n, 10) for n in (0, 1, 30))  # and the last is shown for a second: 0.75 steps per s
        >>> [Timeline(uneven, Fraction(3, 4)).frame(step) for step in range(3)]
        [1, 1, 2]
        """
        return bisect.bisect_right(self.starts, (step + Fraction(1, 2)) / self.fps) - 1


def timeline(times: Sequence[Fraction], last: Fraction, declared: Fraction | None) -> Timeline | None:
    """Return the timeline of frames, None where nothing tells how long a single frame is shown.

    Args:
        times: When each frame is shown, in seconds, as decoders give them.
        last: Seconds that the last one is shown, 0 if it is not known.
        declared: Frames per second by the file's header, which is taken only if the times agree.

    >>> even = timeline([Fraction(n, 25) for n in range(50)], Fraction(1, 25), Fraction(25))
    >>> even.fps, [even.frame(step) for step in (0, 7, 49)]
    (Fraction(25, 1), [0, 7, 49])
    """
    ordered = sorted(times)
    starts = tuple(time - ordered[0] for time in ordered)
    even = (len(starts) - 1) / starts[-1] if starts[-1] else None
    for rate in (declared, even):
        if rate and rate > 0 and _agrees(starts, rate):
            return Timeline(starts, rate)
    last = last or (1 / even if even else Fraction(0))
    duration = starts[-1] + last
    return Timeline(starts, len(starts) / duration) if duration > 0 else None


def _agrees(starts: Sequence[Fraction], rate: Fraction) -> bool:
    """Whether each frame comes within half a step of its turn."""
    half = 1 / rate / 2
    return all(abs(start - n / rate) < half for n, start in enumerate(starts))
