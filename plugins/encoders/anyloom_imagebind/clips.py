"""Where the clips of a sound or video lie in time."""

from __future__ import annotations

from typing import Final

__all__ = ["CLIP_SECONDS", "clip_spans"]

CLIP_SECONDS: Final = 2.0
"""Length that ImageBind was trained on, for sounds and videos alike."""


def clip_spans(seconds: float, count: int) -> list[tuple[float, float]]:
    """Return start and end, in seconds, of clips spread evenly from the beginning to the end.

    What is shorter than one clip gives ``count`` times the same one.

    >>> clip_spans(5, 3)
    [(0.0, 2.0), (1.5, 3.5), (3.0, 5.0)]
    """
    room = max(float(seconds) - CLIP_SECONDS, 0.0)
    starts = [room * i / max(count - 1, 1) for i in range(count)]
    return [(start, start + CLIP_SECONDS) for start in starts]
