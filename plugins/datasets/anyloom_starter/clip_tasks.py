"""One sample of each task about clips: what happens next, other motions, by words and by example."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from anyloom.conversation import Conversation, Media, Message
from anyloom.interfaces import Sample
from anyloom_starter.captions import picture_caption, sound_caption
from anyloom_starter.clip_pool import ClipPool
from anyloom_starter.media import click_media, flash_media, motion_media, picture_media, sound_media
from anyloom_starter.motions import FRAMES, MOTIONS, REVERSED, motion_caption, motion_phrasings
from anyloom_starter.pack import Picture
from anyloom_starter.pool import draw
from anyloom_starter.tasks import sample

__all__ = ["CLIP_TASKS", "EXAMPLES", "clip_exemplar"]

EXAMPLES: Final = 4
_NEXT: Final = ("What happens next?", "How does it go on?", "Show what comes next.")
_INSTEAD: Final = ("Let it {} instead.", "It shall {} instead.", "Make it {}.")
_LET: Final = ("Let it {}.", "Make it {}.", "Show how it would {}.", "A clip, please: let it {}.")
_BACK: Final = ("Play it backwards.", "Reverse it.", "Let it run backwards.")
_TELL: Final = ("What happens here?", "What does this clip show?", "Describe this clip.")
_SHOW: Final = ("Show a clip of this: {}.", "Make a clip: {}.", "Let me see this move: {}.")
_STILL: Final = ("Show it as a picture.", "Make a picture of it.", "What does it look like at rest?")
_MOMENTS: Final = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
_REVERSED: Final = 0.2


def _of(picture: Picture, motion: str, **more: Any) -> dict[str, Any]:
    return {"subjects": (picture.subject,), "family": motion.split("-")[0], "operation": motion, **more}


def _is_seen(picture: Picture, motion: str) -> bool:
    """Whether the picture looks another one in the motion: a turned circle does not."""
    return not motion.startswith("turn") or not {"geometry/turn-left", "geometry/upside-down"} & {*picture.unchanged}


def _drawn(rng: random.Random, pool: ClipPool) -> tuple[Picture, str]:
    """Draw a picture and a motion of it that can be seen."""
    return draw(lambda: (pool.picture(rng), rng.choice(MOTIONS)), lambda found: _is_seen(*found))


def clip_next(rng: random.Random, pool: ClipPool) -> Sample:
    """The first half of a motion; the second is the target."""
    picture, motion = _drawn(rng, pool)
    source = motion_media(picture, motion, "first")
    facts = _of(picture, motion, source=source.key)
    return sample("clip-next", [source, rng.choice(_NEXT)], [motion_media(picture, motion, "second")], **facts)


def clip_edit(rng: random.Random, pool: ClipPool) -> Sample:
    """A clip and another motion in words, or its own backwards; the same picture in that motion is the target."""
    picture, before = _drawn(rng, pool)
    if before in REVERSED and rng.random() < _REVERSED:
        after, said = REVERSED[before], rng.choice(_BACK)
    else:
        after = draw(lambda: rng.choice(MOTIONS), lambda motion: motion != before and _is_seen(picture, motion))
        said = rng.choice(_INSTEAD).format(rng.choice(motion_phrasings(after)))
    source = motion_media(picture, before)
    return sample("clip-edit", [source, said], [motion_media(picture, after)], **_of(picture, after, source=source.key))


def picture_to_clip(rng: random.Random, pool: ClipPool) -> Sample:
    """A picture and a motion in words; the clip is the target."""
    picture, motion = _drawn(rng, pool)
    user: list[str | Media] = [
        picture_media(picture),
        rng.choice(_LET).format(rng.choice(motion_phrasings(motion))),
    ]
    return sample("picture-to-clip", user, [motion_media(picture, motion)], **_of(picture, motion))


def clip_exemplar(rng: random.Random, pool: ClipPool, shown: ClipPool, counts: Sequence[int]) -> list[Sample]:
    """A picture whose motion examples show, with each number of examples; these are drawn from the pool ``shown``."""
    picture, motion = _drawn(rng, pool)
    pictures: list[Picture] = []
    while len(pictures) < max(counts):
        other = shown.picture(rng)
        if other.subject not in {picture.subject, *(one.subject for one in pictures)}:
            pictures.append(other)
    samples = []
    for count in counts:
        turns: list[Message] = []
        for one in (*pictures[:count], picture):
            ask = "And this: " if turns else "Show what it does: "
            turns += [Message("user", [ask, picture_media(one)]), Message("assistant", [motion_media(one, motion)])]
        facts = _of(picture, motion, k=count, target=(motion_media(picture, motion).key,))
        samples.append(Sample(Conversation(turns), "clip-exemplar", facts))
    return samples


def clip_to_text(rng: random.Random, pool: ClipPool) -> Sample:
    """A clip; what it shows and what that does is the target."""
    picture, motion = _drawn(rng, pool)
    words = {"name": picture.name, "motion": motion_caption(motion)}
    answer = f"{picture_caption(picture)}, {motion_caption(motion)}"
    user: list[str | Media] = [motion_media(picture, motion), rng.choice(_TELL)]
    return sample("clip-to-text", user, [answer], words=words, **_of(picture, motion))


def text_to_clip(rng: random.Random, pool: ClipPool) -> Sample:
    """A caption with a motion; the clip is the target."""
    picture, motion = _drawn(rng, pool)
    user = [rng.choice(_SHOW).format(f"{picture_caption(picture)}, {motion_caption(motion)}")]
    return sample("text-to-clip", user, [motion_media(picture, motion)], **_of(picture, motion))


def clip_to_picture(rng: random.Random, pool: ClipPool) -> Sample:
    """A clip; the picture that it was made of is the target."""
    picture, motion = _drawn(rng, pool)
    user: list[str | Media] = [motion_media(picture, motion), rng.choice(_STILL)]
    return sample("clip-to-picture", user, [picture_media(picture)], **_of(picture, motion))


def clip_with_sound(rng: random.Random, pool: ClipPool) -> Sample:
    """A picture of what has a sound, and a motion; the clip and the sound are the target."""
    (sound, picture), motion = pool.linked(rng), rng.choice(MOTIONS)
    said = f"Let it {rng.choice(motion_phrasings(motion))}, with the sound of {sound_caption(sound)}."
    user: list[str | Media] = [picture_media(picture), said]
    return sample("clip-with-sound", user, [motion_media(picture, motion), sound_media(sound)], **_of(picture, motion))


def next_with_sound(rng: random.Random, pool: ClipPool) -> Sample:
    """The first half of a motion of what has a sound; the second half and a sound of it are the target."""
    (sound, picture), motion = pool.linked(rng), rng.choice(MOTIONS)
    user: list[str | Media] = [motion_media(picture, motion, "first"), "What happens next, and how does it sound?"]
    answer = [motion_media(picture, motion, "second"), sound_media(sound)]
    return sample("next-with-sound", user, answer, source=user[0].key, **_of(picture, motion))  # type: ignore[union-attr]


def picture_to_sound(rng: random.Random, pool: ClipPool) -> Sample:
    """A picture of what has a sound; a sound of it is the target."""
    sound, picture = pool.linked(rng)
    user: list[str | Media] = [picture_media(picture), rng.choice(("How does it sound?", "Let me hear it."))]
    return sample("picture-to-sound", user, [sound_media(sound)], subjects=(picture.subject,), base=picture.base)


def sound_to_picture(rng: random.Random, pool: ClipPool) -> Sample:
    """A sound; a picture of what it comes from is the target."""
    sound, picture = pool.linked(rng)
    user: list[str | Media] = [
        sound_media(sound),
        rng.choice(("What makes this sound?", "Show what sounds like this.")),
    ]
    return sample("sound-to-picture", user, [picture_media(picture)], subjects=(picture.subject,), base=picture.base)


def flash_and_beep(rng: random.Random, pool: ClipPool) -> Sample:
    """A picture and a moment in words; the clip that is lit then, and the beep of that moment, are the target."""
    picture, moment = pool.picture(rng), rng.randrange(FRAMES)
    said = f"Let it flash at the {_MOMENTS[moment]} of eight moments, with a beep."
    user: list[str | Media] = [picture_media(picture), said]
    answer = [flash_media(picture, moment), click_media(moment)]
    return sample("flash-and-beep", user, answer, subjects=(picture.subject,), family="flash", moment=moment)


def flash_to_beep(rng: random.Random, pool: ClipPool) -> Sample:
    """A clip with a flash; the beep of the same moment is the target."""
    picture, moment = pool.picture(rng), rng.randrange(FRAMES)
    user: list[str | Media] = [flash_media(picture, moment), "Let me hear the beep of this flash."]
    return sample(
        "flash-to-beep", user, [click_media(moment)], subjects=(picture.subject,), family="flash", moment=moment
    )


def beep_to_flash(rng: random.Random, pool: ClipPool) -> Sample:
    """A picture and a beep; the clip that is lit at that moment is the target."""
    picture, moment = pool.picture(rng), rng.randrange(FRAMES)
    user: list[str | Media] = [picture_media(picture), click_media(moment), "Let it flash when it beeps."]
    target = [flash_media(picture, moment)]
    return sample("beep-to-flash", user, target, subjects=(picture.subject,), family="flash", moment=moment)


CLIP_TASKS: Final[Mapping[str, Callable[[random.Random, ClipPool], Sample]]] = MappingProxyType(
    {
        "clip-next": clip_next,
        "clip-edit": clip_edit,
        "picture-to-clip": picture_to_clip,
        "clip-to-text": clip_to_text,
        "text-to-clip": text_to_clip,
        "clip-to-picture": clip_to_picture,
        "clip-with-sound": clip_with_sound,
        "next-with-sound": next_with_sound,
        "picture-to-sound": picture_to_sound,
        "sound-to-picture": sound_to_picture,
        "flash-and-beep": flash_and_beep,
        "flash-to-beep": flash_to_beep,
        "beep-to-flash": beep_to_flash,
    }
)
