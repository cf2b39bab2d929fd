"""One sample of each task but exemplar editing: who says what, and what is the target.

Every function takes a source of chance and the pool of a split and returns a sample whose last message, the
assistant's, is the target. Provenance holds plain values; media are named by their keys.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from anyloom.conversation import Conversation, Media, Message
from anyloom.interfaces import Sample
from anyloom_starter.captions import picture_caption, picture_words, sound_caption
from anyloom_starter.media import mixture_media, picture_media, sound_media
from anyloom_starter.pack import Picture, load_pack
from anyloom_starter.pool import Pool, draw
from anyloom_starter.sound_edits import ADD_PHRASINGS, DROP_PHRASINGS, REPLACE_PHRASINGS, SOUND_EFFECTS

__all__ = ["TASKS", "instruction", "sample"]

_ASK_PICTURE: Final = ("What does this picture show?", "Describe this picture.", "What is this?")
_DRAW: Final = ("Draw this: {}.", "Show me a picture of this: {}.", "Make a picture: {}.")
_ASK_SOUND: Final = ("What sound is this?", "What do you hear?", "Describe this sound.")
_PLAY: Final = ("Play this: {}.", "Let me hear this: {}.", "Make this sound: {}.")
_SHOW_AND_PLAY: Final = ("Show this: {}. And let me hear: {}.", "Make a picture of {}, together with the sound of {}.")
_NEXT: Final = ("What comes next?", "Continue the series.", "Show the next one.")

# Sequences as (name, number of places, steps from one picture to the next).
_SEQUENCES: Final = (("clock", 24, (-2, -1, 1, 2, 4)), ("moon", 8, (-1, 1)))
_SHOWN: Final = 3


def sample(task: str, user: Sequence[str | Media], answer: Sequence[str | Media], **provenance: Any) -> Sample:
    """Return a sample of one question and its answer; the keys of the answer's media go into provenance."""
    keys = tuple(part.key for part in answer if isinstance(part, Media))
    conversation = Conversation([Message("user", user), Message("assistant", answer)])
    return Sample(conversation, task, {"target": keys, **provenance})


def instruction(phrasing: str) -> str:
    """Return a phrasing such as "make it darker" as a sentence."""
    return f"{phrasing[0].upper()}{phrasing[1:]}."


def picture_to_text(rng: random.Random, pool: Pool) -> Sample:
    """A picture; its caption is the target."""
    picture = pool.picture(rng)
    user: list[str | Media] = [picture_media(picture), rng.choice(_ASK_PICTURE)]
    words = picture_words(picture)
    return sample("picture-to-text", user, [picture_caption(picture)], subjects=(picture.subject,), words=words)


def text_to_picture(rng: random.Random, pool: Pool) -> Sample:
    """A caption; the picture is the target."""
    picture = pool.picture(rng)
    user = [rng.choice(_DRAW).format(picture_caption(picture))]
    return sample("text-to-picture", user, [picture_media(picture)], subjects=(picture.subject,))


def sound_to_text(rng: random.Random, pool: Pool) -> Sample:
    """A sound; its name is the target."""
    sound = rng.choice(pool.sounds)
    user: list[str | Media] = [sound_media(sound), rng.choice(_ASK_SOUND)]
    return sample("sound-to-text", user, [sound_caption(sound)], subjects=(sound.stem,), words={"name": sound.name})


def text_to_sound(rng: random.Random, pool: Pool) -> Sample:
    """The name of a sound; the sound is the target."""
    sound = rng.choice(pool.sounds)
    user = [rng.choice(_PLAY).format(sound_caption(sound))]
    return sample("text-to-sound", user, [sound_media(sound)], subjects=(sound.stem,))


def picture_with_sound(rng: random.Random, pool: Pool) -> Sample:
    """Two captions of one subject; picture and sound, in one message, are the target."""
    sound, picture = rng.choice(pool.links)
    user = [rng.choice(_SHOW_AND_PLAY).format(picture_caption(picture), sound_caption(sound))]
    answer = [picture_media(picture), sound_media(sound)]
    return sample("picture-with-sound", user, answer, subjects=(picture.subject, sound.stem))


def sound_effect(rng: random.Random, pool: Pool) -> Sample:
    """A sound and an effect asked for; the changed sound is the target. What is to be louder is soft at first."""
    sound, name = rng.choice(pool.sounds), rng.choice(list(SOUND_EFFECTS))
    source, target = sound_media(sound), sound_media(sound, name)
    if name == "effect/louder":
        source, target = sound_media(sound, "effect/softer"), source
    user: list[str | Media] = [source, instruction(rng.choice(SOUND_EFFECTS[name].phrasings))]
    return sample("sound-effect", user, [target], subjects=(sound.stem,), operation=name, source=source.key)


def sound_add(rng: random.Random, pool: Pool) -> Sample:
    """A sound and the name of another; both at once are the target."""
    first, second = pool.sound_and_named(rng, 2)
    user: list[str | Media] = [sound_media(first), instruction(rng.choice(ADD_PHRASINGS).format(sound_caption(second)))]
    target = mixture_media(first, second)
    named = (second.stem,)
    return sample("sound-add", user, [target], subjects=(first.stem,), named=named, source=f"sound/{first.key}")


def sound_drop(rng: random.Random, pool: Pool) -> Sample:
    """Two sounds at once and the name of one; the other alone is the target."""
    first, second = pool.sound_and_named(rng, 2)
    source = mixture_media(first, second)
    user: list[str | Media] = [source, instruction(rng.choice(DROP_PHRASINGS).format(sound_caption(second)))]
    answer = [sound_media(first)]
    return sample("sound-drop", user, answer, subjects=(first.stem,), named=(second.stem,), source=source.key)


def sound_replace(rng: random.Random, pool: Pool) -> Sample:
    """Two sounds at once, the name of one and of a third; the third in its place is the target."""
    kept, old, new = pool.sound_and_named(rng, 3)
    source = mixture_media(kept, old)
    phrase = rng.choice(REPLACE_PHRASINGS).format(sound_caption(old), sound_caption(new))
    answer, named = [mixture_media(kept, new)], (old.stem, new.stem)
    user: list[str | Media] = [source, instruction(phrase)]
    return sample("sound-replace", user, answer, subjects=(kept.stem,), named=named, source=source.key)


def next_in_sequence(rng: random.Random, pool: Pool) -> Sample:
    """Three clock faces or moons at equal steps; the fourth is the target.

    All clocks and moons are training subjects: here the splits differ in which series they ask for.
    """
    name, style, start, step = draw(lambda: _series(rng), lambda series: _is_tested(series) == (pool.split == "test"))
    drawings = _sequence(name, style)
    pictures = [drawings[(start + step * place) % len(drawings)] for place in range(_SHOWN + 1)]
    user = [*map(picture_media, pictures[:-1]), rng.choice(_NEXT)]
    subjects = tuple(picture.subject for picture in pictures)
    return sample("sequence", user, [picture_media(pictures[-1])], subjects=subjects, family=name, step=step)


def _series(rng: random.Random) -> tuple[str, str, int, int]:
    """Draw name, style, first place and step of a series."""
    name, places, steps = rng.choice(_SEQUENCES)
    return name, rng.choice(("noto", "twemoji")), rng.randrange(places), rng.choice(steps)


def _is_tested(series: tuple[str, str, int, int]) -> bool:
    """Whether a series is for the test: one in six, chosen by a hash."""
    return hashlib.sha256(repr(series).encode()).digest()[0] < 43


@cache
def _sequence(name: str, style: str) -> tuple[Picture, ...]:
    """Return the drawings of a sequence in order."""
    drawings = [p for p in load_pack().pictures if (p.sequence, p.style) == (name, style)]
    return tuple(sorted(drawings, key=lambda picture: picture.index or 0))


TASKS: Final[Mapping[str, Callable[[random.Random, Pool], Sample]]] = MappingProxyType(
    {
        "picture-to-text": picture_to_text,
        "text-to-picture": text_to_picture,
        "sound-to-text": sound_to_text,
        "text-to-sound": text_to_sound,
        "sequence": next_in_sequence,
        "sound-add": sound_add,
        "sound-drop": sound_drop,
        "sound-replace": sound_replace,
        "sound-effect": sound_effect,
        "picture-with-sound": picture_with_sound,
    }
)
