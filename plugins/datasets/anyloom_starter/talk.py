"""Small talk: words for which no picture and no sound is the right answer, and bare wishes for which one is."""

from __future__ import annotations

import random
from typing import Final

from anyloom.conversation import Media
from anyloom.interfaces import Sample
from anyloom_starter.captions import picture_caption, sound_caption, with_article
from anyloom_starter.media import picture_media, sound_media
from anyloom_starter.pool import Pool
from anyloom_starter.sayings import CHOOSE, TALK, loosely, trained_sentences
from anyloom_starter.tasks import sample

__all__ = ["PICTURES", "SOUNDS", "talk_sample", "wish_sample"]

# Split -> ways to wish for something. No frame is of two splits.
PICTURES: Final = {
    "train": (
        "{}", "A picture of {}.", "I want to see {}.", "Please draw {}.", "Can you draw {}?", "Show me {}.",
        "Draw {}.", "Draw me {}.", "A drawing of {}.", "Paint {}.", "Make a picture of {}.", "What does {} look like?",
        "An image of {}.", "Let me see {}.", "Could you draw {}?", "I need a picture of {}.", "Now show {}.",
    ),
    "choose": ("Could you paint {} for me?", "I would like to see {}."),
    "test": ("I want you to draw {}, please.", "Can you show me a picture of {}?"),
}  # fmt: skip
SOUNDS: Final = {
    "train": (
        "The sound of {}.", "I want to hear {}.", "Please play {}.", "Can you play {}?", "Let me hear {}.",
        "Play {}.", "Play me {}.", "What does {} sound like?", "Make the noise of {}.", "How does {} sound?",
        "Make the sound of {}.", "The noise of {}.", "A recording of {}.", "Could you play {}?",
        "I need the sound of {}.", "Now play {}.",
    ),
    "choose": ("I would like to hear {}.", "Could you make the sound of {} for me?"),
    "test": ("I want you to play {}, please.", "Can you let me hear the sound of {}?"),
}  # fmt: skip


def talk_sample(rng: random.Random, pool: Pool) -> Sample:
    """Words that are answered in words; each split has its own."""
    answer = rng.choice(list(TALK))
    if pool.split == "test":
        said = TALK[answer][-1]
    elif pool.split == "choose":
        said = rng.choice(CHOOSE[answer])
    else:
        said = loosely(rng, rng.choice(rng.choice(trained_sentences(answer))))
    return sample("talk", [said], [answer], subjects=(), words={"answer": answer}, family="talk")


def wish_sample(rng: random.Random, pool: Pool) -> Sample:
    """A bare wish for a picture or a sound; each split has its own frames."""
    if rng.random() < 0.6:
        picture = pool.picture(rng)
        name = picture.name if rng.random() < 0.5 else picture_caption(picture)
        frames, short, subject = PICTURES[pool.split], picture.name, picture.subject
        answer: Media = picture_media(picture)
    else:
        sound = rng.choice(pool.sounds)
        name = short = sound_caption(sound)
        frames, subject, answer = SOUNDS[pool.split], sound.stem, sound_media(sound)
    frame = rng.choice(frames)
    if pool.split != "test" and rng.random() < 0.5:
        name = with_article(name, short)
    said = frame.format(name)
    if pool.split == "train":
        said = loosely(rng, said)
    return sample("wish", [said], [answer], subjects=(subject,), family=answer.modality)
