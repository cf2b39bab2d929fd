"""Small talk: words for which no picture and no sound is the right answer, and bare wishes for which one is."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from anyloom.conversation import Media
from anyloom.interfaces import Sample
from anyloom_starter.captions import picture_caption, sound_caption
from anyloom_starter.media import picture_media, sound_media
from anyloom_starter.pool import Pool
from anyloom_starter.tasks import sample

__all__ = ["TALK", "talk_sample", "wish_sample"]

_CAN: Final = "I can draw pictures, change them, make sounds and say what I see or hear."
_WHICH: Final = "Which picture or sound do you mean?"

# Answer -> ways to bring it about. The last of each is held out for the test.
TALK: Final[Mapping[str, tuple[str, ...]]] = {
    "Hello. Show me a picture or a sound.": (
        "Hello.", "Hi.", "Hello there.", "Good morning.", "Good evening.", "Hey.", "Hi there.",
    ),
    _CAN: (
        "What can you do?", "Who are you?", "What are you?", "Help.", "How do you work?", "What do you do?",
        "What are you able to do?", "Can you help me?", "Tell me what you can do.",
    ),
    "You are welcome.": ("Thank you.", "Thanks.", "Thank you very much.", "Well done, thanks.", "Many thanks."),
    "I am glad you like it.": ("I like it.", "Very good.", "That is nice.", "Well done.", "Good.", "Great."),
    "Goodbye.": ("Goodbye.", "Bye.", "See you.", "Good night.", "Bye, see you."),
    _WHICH: (
        "Make it darker.", "Mirror it.", "Turn it upside down.", "Change it.", "What does it show?", "What is this?",
        "What do you hear?", "Describe it.", "Undo that.", "Turn it a quarter to the left.",
    ),
    "I only know small pictures and short sounds.": (
        "How old are you?", "What time is it?", "Where do you live?", "What is the weather?", "How are you?",
        "Tell me a story.", "What is two and two?", "What is your name?", "Do you like music?", "Where are you from?",
    ),
}  # fmt: skip

_PICTURES: Final = ("{}", "A picture of {}.", "I want to see {}.", "Please draw {}.", "Can you draw {}?", "Show me {}.")
_NEW_PICTURES: Final = ("I want you to draw {}, please.", "Can you show me a picture of {}?")
_SOUNDS: Final = ("The sound of {}.", "I want to hear {}.", "Please play {}.", "Can you play {}?", "Let me hear {}.")
_NEW_SOUNDS: Final = ("I want you to play {}, please.", "Can you let me hear the sound of {}?")


def talk_sample(rng: random.Random, pool: Pool) -> Sample:
    """Words that are answered in words."""
    answer = rng.choice(list(TALK))
    ways = TALK[answer]
    said = ways[-1] if pool.split == "test" else rng.choice(ways[:-1])
    return sample("talk", [said], [answer], subjects=(), words={"answer": answer}, family="talk")


def wish_sample(rng: random.Random, pool: Pool) -> Sample:
    """A bare wish for a picture or a sound of a training subject."""
    held_out = pool.split == "test"
    if rng.random() < 0.6:
        picture = pool.picture(rng)
        name = picture.name if rng.random() < 0.5 else picture_caption(picture)
        way = rng.choice(_NEW_PICTURES if held_out else _PICTURES)
        answer: Media = picture_media(picture)
        subject = picture.subject
    else:
        sound = rng.choice(pool.sounds)
        name, way, answer, subject = (
            sound_caption(sound),
            rng.choice(_NEW_SOUNDS if held_out else _SOUNDS),
            sound_media(sound),
            sound.stem,
        )
    return sample("wish", [way.format(name)], [answer], subjects=(subject,), family=answer.modality)
