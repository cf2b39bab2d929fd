"""Requests that say what is not to be done, and requests that contradict the examples before them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

from anyloom.conversation import Conversation, Media, Message
from anyloom.interfaces import Sample
from anyloom_starter.clip_pool import ClipPool
from anyloom_starter.edits import phrasings
from anyloom_starter.media import picture_media
from anyloom_starter.pack import Picture
from anyloom_starter.pool import draw

__all__ = ["contradiction", "negation"]

_FRAMES: Final = ("Do not {no}, but {yes}.", "Please {yes}, do not {no}.", "Never {no}. Now {yes}.")
_NEW_FRAME: Final = "I do not want you to {no}: {yes}."
_CONTRARY: Final = ("Not so with this: {}.", "But with this, {}.", "Now something else, {}.")
_NEW_CONTRARY: Final = "Forget what you did before and {}."


def negation(rng: random.Random, pool: ClipPool, edits: Sequence[str]) -> Sample:
    """A picture, an edit that is not wanted and one that is; the latter's result is the target.

    Splits of held-out subjects ask in a frame that training never shows.
    """
    picture, no, yes = _picture(rng, pool, edits)
    frame = _NEW_FRAME if pool.held_out else rng.choice(_FRAMES)
    text = frame.format(no=rng.choice(phrasings(no)), yes=rng.choice(phrasings(yes)))
    turns = [Message("user", [picture_media(picture), text]), Message("assistant", [picture_media(picture, yes)])]
    return Sample(Conversation(turns), "negation", _facts(picture, no, yes))


def contradiction(rng: random.Random, pool: ClipPool, shown: ClipPool, edits: Sequence[str]) -> Sample:
    """An example of one edit, then a picture with another edit in words, whose result is the target."""
    picture, no, yes = _picture(rng, pool, edits)
    example = draw(
        lambda: shown.picture(rng), lambda found: found.subject != picture.subject and no not in found.unchanged
    )
    frame = _NEW_CONTRARY if pool.held_out else rng.choice(_CONTRARY)
    said: list[str | Media] = [picture_media(picture), frame.format(rng.choice(phrasings(yes)))]
    turns = [
        Message("user", ["Apply an editing to ", picture_media(example), "."]),
        Message("assistant", [picture_media(example, no)]),
        Message("user", said),
        Message("assistant", [picture_media(picture, yes)]),
    ]
    return Sample(Conversation(turns), "contradiction", _facts(picture, no, yes))


def _picture(rng: random.Random, pool: ClipPool, edits: Sequence[str]) -> tuple[Picture, str, str]:
    """Draw a picture, what is not to be done with it and what is; both would visibly change it."""
    no, yes = rng.sample(list(edits), 2)
    return draw(lambda: pool.picture(rng), lambda found: not {no, yes} & {*found.unchanged}), no, yes


def _facts(picture: Picture, no: str, yes: str) -> dict[str, Any]:
    return {
        "target": (picture_media(picture, yes).key,),
        "refused": picture_media(picture, no).key,
        "family": yes.split("/")[0],
        "operation": yes,
        "source": picture.key,
        "subjects": (picture.subject,),
    }
