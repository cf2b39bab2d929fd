"""Conversations of two or three parts that have nothing to do with each other: what came before must not matter.

A part is a sample of another task, with all its messages; every answer is a target. What is asked about is the last
part: its provenance is kept but for ``family``, which is its task. ``parts`` holds the tasks of all.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

from anyloom.conversation import Conversation
from anyloom.interfaces import Sample
from anyloom_starter.pool import draw
from anyloom_starter.sayings import WHICH

__all__ = ["asked_last", "chained", "chained_sample", "ending", "opening"]

_PICTURES: Final = ("edit", "rounds", "wish", "picture-to-text", "text-to-picture")
_SOUNDS: Final = ("sound-to-text", "text-to-sound", "sound-add", "sound-drop", "sound-replace", "sound-effect")
_SOUND_EDITS: Final = _SOUNDS[2:]
_OTHERS: Final = ("talk", "picture-to-text", "wish", "text-to-picture")
_MORE: Final = 0.3

Make = Callable[[str], Sample]


def chained_sample(rng: random.Random, make: Make) -> Sample:
    """Return two or, three times of ten, three parts; most end with another modality than they begin with.

    Args:
        rng: Source of chance.
        make: Draws a sample of the task of that name.
    """
    last = rng.choice((*_SOUNDS, *_SOUNDS[:2], "wish", "wish", "edit", *_OTHERS))
    parts = [opening(rng, make, last) for _ in range(1 + (rng.random() < _MORE))]
    return chained([*parts, ending(make, last)])


def opening(rng: random.Random, make: Make, last: str) -> Sample:
    """Return a part for the beginning: about sounds if a picture is asked for in the end, else about pictures."""
    about_sounds = last in ("edit", "picture-to-text", "text-to-picture")
    wanted = rng.choice(("wish", *_SOUNDS) if about_sounds else ("rounds", *_PICTURES))
    others = ("image",) if about_sounds else ("audio", "hear")
    return draw(lambda: make(wanted), lambda part: part.provenance.get("family") not in others)


def ending(make: Make, task: str) -> Sample:
    """Return a part for the end. Words that lack a medium are none: here there would be one before."""
    return draw(lambda: make(task), lambda part: part.provenance.get("words", {}).get("answer") != WHICH)


def asked_last(query: int) -> tuple[str, ...]:
    """Return the tasks that end the queries of that number in the fixed splits.

    >>> asked_last(0)
    ('text-to-sound', 'sound-to-text', 'sound-add', 'talk')
    """
    return "text-to-sound", "sound-to-text", _SOUND_EDITS[query % 4], _OTHERS[query % 4]


def chained(parts: Sequence[Sample]) -> Sample:
    """Return the parts as one conversation, asked about the last."""
    last = parts[-1]
    facts = {
        **last.provenance,
        "family": last.task,
        "subjects": tuple(subject for part in parts for subject in part.provenance["subjects"]),
        "parts": tuple(part.task for part in parts),
    }
    messages = [message for part in parts for message in part.conversation.messages]
    return Sample(Conversation(messages), "chained", facts)
