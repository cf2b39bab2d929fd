"""How one asks: a phrasing such as "make it darker" in a frame such as "Please {}.".

Some frames, and some pairs of phrasing and frame, are never trained: the task ``edit-rephrased`` asks with these. Two
further frames are for the split ``choose`` alone.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Final

from anyloom_starter.edits import phrasings

__all__ = ["CHOOSE_FRAMES", "FRAMES", "NEW_FRAMES", "ask", "is_held_out", "rephrased"]

FRAMES: Final = (
    "{}.", "Please {}.", "Can you {}?", "Now {}.", "I want you to {}.", "{}, please.", "Next, {}.", "Let us {}.",
)  # fmt: skip
NEW_FRAMES: Final = ("Could you please {}?", "I want to see it changed: {}.", "Next, please {} now.")
CHOOSE_FRAMES: Final = ("Would you {} for me?", "{} this time.")

_HELD_OUT_SHARE: Final = 0.2


def is_held_out(phrasing: str, frame: str) -> bool:
    """Whether training never shows this phrasing in this frame: a fifth of the pairs, by a hash; never the plain form.

    >>> is_held_out("make it darker", "{}."), sum(is_held_out("make it darker", frame) for frame in FRAMES) < 5
    (False, True)
    """
    if frame == FRAMES[0]:
        return False
    return hashlib.sha256(f"{phrasing}|{frame}".encode()).digest()[0] < 256 * _HELD_OUT_SHARE


def ask(rng: random.Random, operation: str) -> str:
    """Ask for an operation in one of the trained ways; every second time in the plain form."""
    phrasing = rng.choice(phrasings(operation))
    frames = [frame for frame in FRAMES if not is_held_out(phrasing, frame)]
    return _sentence(phrasing, FRAMES[0] if rng.random() < 0.5 else rng.choice(frames))


def rephrased(rng: random.Random, operation: str, *, choose: bool = False) -> str:
    """Ask for an operation in a way that training never shows: one of the test, or one of the split ``choose``."""
    phrasing = rng.choice(phrasings(operation))
    if choose:
        return _sentence(phrasing, rng.choice(CHOOSE_FRAMES))
    frames: Sequence[str] = [*NEW_FRAMES, *(frame for frame in FRAMES if is_held_out(phrasing, frame))]
    return _sentence(phrasing, rng.choice(frames))


def _sentence(phrasing: str, frame: str) -> str:
    text = frame.format(phrasing)
    return f"{text[0].upper()}{text[1:]}"
