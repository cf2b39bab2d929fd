"""Media of conversations, made from the pack when they are needed, each with a key that says what it is.

=======================================  =====================================================
key                                     content
=======================================  =====================================================
``noto/1f44b-1f3fb``                    a drawing of the pack
``noto/1f44b-1f3fb@mirror@grey``        the same after two pixel edits, in this order
``sound/misc_crow``                     a sound of the pack
``sound/misc_crow@echo``                the same after an effect
``sound/misc_crow+perc_bell``           a mixture; the parts are in alphabetical order
``motion/grow/whole/noto/1f98b@mirror`` a clip of a picture, of one motion and one part of it
``motion/flash/3/noto/1f98b``           a clip of a picture in the dark that is lit in one frame
``click/3``                             a short noise at the moment of that frame
``clip/noto/1f98b@backwards``           a clip of a drawing after an edit (:mod:`anyloom_starter.clips`)
=======================================  =====================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Final

from torch import Tensor

from anyloom.conversation import Media
from anyloom_starter.clips import PREFIX, clip_of_key
from anyloom_starter.edits import PIXEL_EDITS
from anyloom_starter.motions import CLIP_RATE, click, flash, frames
from anyloom_starter.pack import SAMPLE_RATE, Picture, Sound, load_pack, picture_pixels, sound_wave
from anyloom_starter.sound_edits import MIX_GAIN, SOUND_EFFECTS, mix

__all__ = [
    "click_media",
    "flash_media",
    "media_of_key",
    "mixture_media",
    "motion_media",
    "picture_media",
    "sound_media",
]

_PIXEL_EDITS_BY_WORD: Final = {name.split("/")[1]: edit for name, edit in PIXEL_EDITS.items()}
_EFFECTS_BY_WORD: Final = {name.split("/")[1]: effect for name, effect in SOUND_EFFECTS.items()}


@dataclass(frozen=True)
class _DrawPicture:
    """Decodes the picture that a key names, uint8 (3, 64, 64); picklable."""

    key: str

    def __call__(self) -> Tensor:
        name, *edits = self.key.split("@")
        pixels = picture_pixels(load_pack().picture(name))
        return reduce(lambda result, edit: _PIXEL_EDITS_BY_WORD[edit].apply(result), edits, pixels)


@dataclass(frozen=True)
class _PlaySound:
    """Decodes the sound or mixture that a key names, float32 (1, T) at 16 kHz; picklable."""

    key: str

    def __call__(self) -> Tensor:
        names, *effects = self.key.removeprefix("sound/").split("@")
        waves = [sound_wave(load_pack().sound(name)) for name in names.split("+")]
        wave = waves[0] if len(waves) == 1 else mix([(wave, MIX_GAIN) for wave in waves])
        return reduce(lambda result, effect: _EFFECTS_BY_WORD[effect].apply(result), effects, wave)


@dataclass(frozen=True)
class _ShowMotion:
    """Makes the clip that a key names, uint8 (8, 3, 64, 64); picklable."""

    key: str

    def __call__(self) -> Tensor:
        _, motion, part, picture = self.key.split("/", 3)
        pixels = _DrawPicture(picture)()
        return flash(pixels, int(part)) if motion == "flash" else frames(pixels, motion, part)


@dataclass(frozen=True)
class _Click:
    """Makes a click at one of eight moments, float32 (1, T) at 16 kHz; picklable."""

    moment: int

    def __call__(self) -> Tensor:
        return click(self.moment)


def motion_media(picture: Picture, motion: str, part: str = "whole", *edits: str) -> Media:
    """Return a clip of a drawing after pixel edits.

    >>> media = motion_media(load_pack().picture("noto/1f98b"), "grow")
    >>> media.key, tuple(media.tensor().shape), media.meta["fps"]
    ('motion/grow/whole/noto/1f98b', (8, 3, 64, 64), 3.125)
    """
    return media_of_key(f"motion/{motion}/{part}/{picture_media(picture, *edits).key}")


def flash_media(picture: Picture, moment: int) -> Media:
    """Return a clip of a drawing in the dark that is lit in frame ``moment``, from 0 to 7."""
    return media_of_key(f"motion/flash/{moment}/{picture.key}")


def click_media(moment: int) -> Media:
    """Return a click at the moment of that frame."""
    return media_of_key(f"click/{moment}")


def picture_media(picture: Picture, *edits: str) -> Media:
    """Return a drawing of the pack after pixel edits.

    Args:
        picture: The drawing.
        edits: Names of pixel edits such as ``geometry/mirror``, in the order they are applied.

    >>> media = picture_media(load_pack().picture("noto/1f98b"), "geometry/mirror")
    >>> media.key, tuple(media.tensor().shape)
    ('noto/1f98b@mirror', (3, 64, 64))
    """
    return media_of_key("@".join([picture.key, *(edit.split("/")[1] for edit in edits)]))


def sound_media(sound: Sound, *effects: str) -> Media:
    """Return a sound of the pack after effects, such as ``effect/echo``, in the order they are applied."""
    return media_of_key("@".join([f"sound/{sound.key}", *(effect.split("/")[1] for effect in effects)]))


def mixture_media(*sounds: Sound) -> Media:
    """Return several sounds at once."""
    return media_of_key(f"sound/{'+'.join(sorted(sound.key for sound in sounds))}")


def media_of_key(key: str) -> Media:
    """Return the media item that has this key; it is decoded when its tensor is asked for."""
    if key.startswith("motion/"):
        return Media("video", loader=_ShowMotion(key), key=key, meta={"fps": CLIP_RATE})
    if key.startswith("click/"):
        moment = int(key.removeprefix("click/"))
        return Media("audio", loader=_Click(moment), key=key, meta={"sample_rate": SAMPLE_RATE})
    if key.startswith(PREFIX):
        return clip_of_key(key)
    if key.startswith("sound/"):
        return Media("audio", loader=_PlaySound(key), key=key, meta={"sample_rate": SAMPLE_RATE})
    return Media("image", loader=_DrawPicture(key), key=key)
