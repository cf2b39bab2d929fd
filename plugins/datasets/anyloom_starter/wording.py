"""How one asks: a phrasing such as "make it darker" in a frame such as "Please {}.".

Some frames, and some pairs of phrasing and frame, are never trained: the task ``edit-rephrased`` asks with these. Two
further frames are for the split ``choose`` alone. Most frames are for training alone: who has seen few of them takes a
request in another for small talk.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Final

from anyloom_starter.edits import phrasings

__all__ = ["CHOOSE_FRAMES", "FRAMES", "MORE_FRAMES", "NEW_FRAMES", "ask", "ask_anyhow", "is_held_out", "rephrased"]

FRAMES: Final = (
    "{}.", "Please {}.", "Can you {}?", "Now {}.", "I want you to {}.", "{}, please.", "Next, {}.", "Let us {}.",
)  # fmt: skip
MORE_FRAMES: Final = (
    "Will you {}?", "Just {}.", "I would like you to {}.", "Go on and {}.", "Try to {}.", "Here, {}.",
    "With this one, {}.", "Ok, {}.", "Then {}.", "After that, {}.", "Be so kind and {}.", "You should {}.",
    "We need to {}.", "Time to {}.", "I need you to {}.", "Simply {}.", "Do this: {}.", "Your task: {}.",
    "{} if you can.", "{}, thanks.", "{} quickly.", "{} as well.", "{} for a change.", "So {}.", "Well, {}.",
    "Hey, {}.", "Kindly {}.", "Help me: {}.", "How about you {}?", "Why not {}?", "Are you able to {}?",
    "Is it possible to {}?", "May I ask you to {}?",
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


def ask_anyhow(rng: random.Random, operation: str) -> str:
    """Ask for an operation as in :func:`ask`, or in one of the further frames that training alone draws from."""
    if rng.random() < 0.5:
        return ask(rng, operation)
    return _sentence(rng.choice(phrasings(operation)), rng.choice(MORE_FRAMES))


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
