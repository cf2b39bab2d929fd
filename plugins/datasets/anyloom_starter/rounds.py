"""Conversations of several rounds: an edit, then something about the answer.

A round after the first is about the answer of the round before: another edit of it, a question about it, its sound, a
step back to what it was made from, or the same with another picture. Only the last answer's key stands under
``target``; ``path`` holds all pictures in order.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from functools import cache
from typing import Any, Final

from anyloom.conversation import Conversation, Media, Message
from anyloom.interfaces import Sample
from anyloom_starter.captions import picture_caption, picture_words
from anyloom_starter.edits import PIXEL_EDITS
from anyloom_starter.media import picture_media, sound_media
from anyloom_starter.pack import Picture, Sound
from anyloom_starter.pool import Pool, draw, pool_of
from anyloom_starter.wording import ask

__all__ = ["KINDS", "round_sample"]

KINDS: Final = ("edit", "back", "ask", "again", "hear")

_BACK: Final = ("Undo that.", "Take that back.", "As it was before, please.", "Go one step back.")
_ASK: Final = ("What does it show now?", "What is this?", "Describe it.")
_HEAR: Final = ("What does it sound like?", "Add its sound.", "Let me hear it.", "And how does it sound?")
_AGAIN: Final = (
    "The same with this one: ",
    "Now the same for this: ",
    "And this one likewise: ",
    "Do it to this too: ",
)
_DRAWN: Final = ("edit", "edit", "edit", "edit", "back", "ask", "again", "hear")
_MORE: Final = 0.3


def round_sample(
    rng: random.Random, pool: Pool, operations: dict[str, tuple[str, ...]], *, kind: str | None = None
) -> Sample:
    """Return a conversation about one picture: an edit, perhaps a second, and a last round of the given kind.

    Args:
        rng: Source of chance.
        pool: Where pictures come from.
        operations: Family -> names of the operations that may be asked for.
        kind: One of :data:`KINDS`; drawn if None, and then a third edit may stand between.
    """
    last = kind or rng.choice(_DRAWN)
    if last == "again":
        return _again(rng, pool, operations)
    if last == "hear":
        pool = replace(pool, bases=tuple(_sounding(pool.split).values()))
        operations = {family: names for family, names in operations.items() if family in ("geometry", "colour")}
    edits = 1 + (last == "edit") + (kind is None and rng.random() < _MORE)
    steps, drawings, states = _walk(rng, pool, operations, edits)
    path = [picture_media(drawing, *state) for drawing, state in zip(drawings, states)]
    turns: list[Message] = []
    for index, name in enumerate(steps):
        said: list[str | Media] = [path[0], ask(rng, name)] if index == 0 else [ask(rng, name)]
        turns += [Message("user", said), Message("assistant", [path[index + 1]])]
    answer: list[str | Media] = [path[-1]]
    source = path[-2]
    if last == "back":
        answer, source = [path[-2]], path[-1]
        turns += [Message("user", [rng.choice(_BACK)]), Message("assistant", answer)]
    elif last == "ask":
        answer = [picture_caption(drawings[-1])]
        turns += [Message("user", [rng.choice(_ASK)]), Message("assistant", answer)]
    elif last == "hear":
        answer = [sound_media(rng.choice(_sounds(pool.split)[drawings[-1].key]))]
        turns += [Message("user", [rng.choice(_HEAR)]), Message("assistant", answer)]
    provenance: dict[str, Any] = {
        "target": tuple(part.key for part in answer if isinstance(part, Media)),
        "family": last,
        "operation": "+".join(steps),
        "source": source.key,
        "path": tuple(media.key for media in path),
        "subjects": (drawings[0].subject,),
    }
    if last == "hear":
        del provenance["source"]  # the answer is no edit of it
    if last == "ask":
        provenance["words"] = picture_words(drawings[-1])
    return Sample(Conversation(turns), "rounds", provenance)


def _again(rng: random.Random, pool: Pool, operations: dict[str, tuple[str, ...]]) -> Sample:
    """An edit in words, then another picture with which the same is to be done."""
    name = rng.choice(operations[rng.choice(list(operations))])
    first = pool.pair(rng, name)
    second = pool.pair(rng, name, avoid={first.subject})
    turns = [
        Message("user", [first.source, ask(rng, name)]),
        Message("assistant", [first.target]),
        Message("user", [rng.choice(_AGAIN), second.source]),
        Message("assistant", [second.target]),
    ]
    provenance: dict[str, Any] = {
        "target": (second.target.key,),
        "family": "again",
        "operation": name,
        "source": second.source.key,
        "path": tuple(media.key for pair in (first, second) for media in (pair.source, pair.target)),
        "subjects": (first.subject, second.subject),
    }
    return Sample(Conversation(turns), "rounds", provenance)


@cache
def _sounding(split: str) -> dict[str, tuple[Picture, ...]]:
    """Return base -> its drawings of a split that have a sound."""
    drawings = {picture.key: picture for _, picture in pool_of(split).links}
    found: dict[str, list[Picture]] = defaultdict(list)
    for picture in drawings.values():
        found[picture.base].append(picture)
    return {base: tuple(pictures) for base, pictures in found.items()}


@cache
def _sounds(split: str) -> dict[str, tuple[Sound, ...]]:
    """Return key of a drawing -> its sounds of a split."""
    found: dict[str, list[Sound]] = defaultdict(list)
    for sound, picture in pool_of(split).links:
        found[picture.key].append(sound)
    return {key: tuple(sounds) for key, sounds in found.items()}


def _walk(
    rng: random.Random, pool: Pool, operations: dict[str, tuple[str, ...]], count: int
) -> tuple[list[str], list[Picture], list[tuple[str, ...]]]:
    """Draw operations one after another: their names, and drawing and pixel edits before, between and after them.

    At most one is of each family, so that none undoes another.
    """
    families = draw(
        lambda: rng.sample(list(operations), min(count, len(operations))), lambda f: bool({"geometry", "colour"} & {*f})
    )
    content = [family for family in families if family not in ("geometry", "colour")][:1]
    families = [family for family in families if family in ("geometry", "colour") or family in content]
    names = {family: rng.choice(operations[family]) for family in families}
    pixel = [name for name in names.values() if name in PIXEL_EDITS]

    def drawn() -> tuple[Picture, Picture]:
        if not content:
            picture = pool.picture(rng)
            return picture, picture
        return rng.choice(rng.choice(pool.content[names[content[0]]]))

    before, after = draw(drawn, lambda pair: not any({*pixel} & {*picture.unchanged} for picture in pair))
    drawings: list[Picture] = [before]
    states: list[tuple[str, ...]] = [()]
    for family in families:
        name = names[family]
        drawings.append(after if family in content else drawings[-1])
        states.append((*states[-1], name) if name in PIXEL_EDITS else states[-1])
    return [names[family] for family in families], drawings, states
