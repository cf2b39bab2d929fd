"""Conversations of several rounds: an edit, then something about the answer.

A round after the first is about the answer of the round before: another edit of it, a question about it, or a step
back to what it was made from. Only the last answer's key stands under ``target``; ``path`` holds all in order.
"""

from __future__ import annotations

import random
from typing import Any, Final

from anyloom.conversation import Conversation, Media, Message
from anyloom.interfaces import Sample
from anyloom_starter.captions import picture_caption, picture_words
from anyloom_starter.edits import PIXEL_EDITS
from anyloom_starter.media import picture_media
from anyloom_starter.pack import Picture
from anyloom_starter.pool import Pool, draw
from anyloom_starter.wording import ask

__all__ = ["round_sample"]

_BACK: Final = ("Undo that.", "Take that back.", "As it was before, please.", "Go one step back.")
_ASK: Final = ("What does it show now?", "What is this?", "Describe it.")
_KINDS: Final = ("edit", "edit", "edit", "edit", "back", "ask")
_MORE: Final = 0.3


def round_sample(
    rng: random.Random, pool: Pool, operations: dict[str, tuple[str, ...]], *, kind: str | None = None
) -> Sample:
    """Return a conversation about one picture: an edit, perhaps a second, and a last round of the given kind.

    Args:
        rng: Source of chance.
        pool: Where pictures come from.
        operations: Family -> names of the operations that may be asked for.
        kind: ``edit``, ``back`` or ``ask``; drawn if None, and then a third edit may stand between.
    """
    last = kind or rng.choice(_KINDS)
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
    provenance: dict[str, Any] = {
        "target": tuple(part.key for part in answer if isinstance(part, Media)),
        "family": last,
        "operation": "+".join(steps),
        "source": source.key,
        "path": tuple(media.key for media in path),
        "subjects": (drawings[0].subject,),
    }
    if last == "ask":
        provenance["words"] = picture_words(drawings[-1])
    return Sample(Conversation(turns), "rounds", provenance)


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
