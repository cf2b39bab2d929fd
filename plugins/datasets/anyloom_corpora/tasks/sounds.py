"""Instructed and exemplar editing of sounds, made from any source of captioned sounds.

Fields: ``audio``, and ``caption`` (one or several) or ``label``. Adding, dropping and replacing are AUDIT's
(:mod:`anyloom_corpora.tasks.mixing`), with its two constructions: "under", a caption's sound under another one's, and
"placed", a sound that starts at the beginning, the middle or the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from anyloom.conversation import Media
from anyloom.interfaces import Sample
from anyloom_corpora.tasks.derived import Wave, derived_sound, wave_of
from anyloom_corpora.tasks.effects import EFFECTS, Effect, band_limited, silenced
from anyloom_corpora.tasks.mixing import (
    inpainting_gap,
    mix_placed,
    mix_under,
    replacement_start,
    start_and_position,
)
from anyloom_corpora.tasks.view import Parts, View

__all__ = [
    "add_sound",
    "apply_effect",
    "drop_sound",
    "exemplar_sound",
    "fill_gap",
    "name_of",
    "replace_sound",
    "restore_band",
    "sound_rounds",
]

SECONDS: Final = 10
LENGTH: Final = SECONDS * 16_000 - 128  # AUDIT's clips: 624 frames of 256 samples with its padding
WORDS: Final = 12
JOINING: Final = frozenset({"and", "while", "as", "with", "then", "followed"})

_ADD: Final = ("Add {} in the background.", "Let {} be heard in the background as well.")
_ADD_AT: Final = ("Add {} in the {}.", "Let {} be heard in the {} too.")
_DROP: Final = ("Drop {}.", "Take {} out.", "Remove the sound of {}.")
_REPLACE: Final = ("Replace {} by {}.", "Take {} out and put {} in its place.")
_FILL: Final = ("Fill the gap: {}.", "A part of it is missing. Put it back; it is {}.")
_RESTORE: Final = ("Restore the high frequencies: {}.", "Make it as clear as a good recording of {}.")
_SAME: Final = (
    "The same was done to each of the sounds before. Do it to this one:",
    "What happened from each first sound to the second? Do likewise with this one:",
)


@dataclass(frozen=True)
class _Whole:
    """The sound itself, cut to ten seconds."""

    def __call__(self, media: Media) -> Wave:
        return wave_of(media)[:LENGTH]


@dataclass(frozen=True)
class _Under:
    def __call__(self, background: Media, foreground: Media) -> Wave:
        return mix_under(wave_of(background)[:LENGTH], wave_of(foreground)[:LENGTH])


@dataclass(frozen=True)
class _Placed:
    """Mixes a sound in at a share of the background that chance has drawn for a length of 10 seconds."""

    seed: int
    replacing: bool = False

    def __call__(self, background: Media, foreground: Media) -> Wave:
        wave = wave_of(background)[:LENGTH]
        return mix_placed(wave, wave_of(foreground), self.start(len(wave)), match=not self.replacing)

    def start(self, length: int) -> int:
        rng = _seeded(self.seed)
        return replacement_start(length, rng) if self.replacing else start_and_position(length, rng)[0]


@dataclass(frozen=True)
class _Gap:
    seed: int

    def __call__(self, media: Media) -> Wave:
        wave = wave_of(media)[:LENGTH]
        return silenced(wave, *inpainting_gap(len(wave), _seeded(self.seed)))


@dataclass(frozen=True)
class _Low:
    def __call__(self, media: Media) -> Wave:
        return band_limited(wave_of(media)[:LENGTH])


@dataclass(frozen=True)
class _Changed:
    effect: str

    def __call__(self, media: Media) -> Wave:
        return EFFECTS[self.effect].apply(wave_of(media)[:LENGTH])[:LENGTH]


def add_sound(view: View) -> Sample:
    """A sound and words for another; both at once are the target."""
    other = view.other(fits=_is_simple)
    before, mixed, phrase = _added(view, other)
    return view.sample([before, phrase], [mixed], reference=before.key, operation="add", added=name_of(other))


def drop_sound(view: View) -> Sample:
    """Two sounds at once and words for one; the other alone is the target. The reverse of adding, as in AUDIT."""
    other = view.other(fits=_is_simple)
    before, mixed, _ = _added(view, other)
    phrase = view.choose(_DROP).format(name_of(other))
    return view.sample([mixed, phrase], [before], reference=mixed.key, operation="drop", dropped=name_of(other))


def replace_sound(view: View) -> Sample:
    """Two sounds at once, words for one of them and for a third; the third in its place is the target."""
    old = view.other(fits=_is_simple)
    new = view.other(old, fits=_is_simple)
    recipe = _Placed(view.rng.getrandbits(32), replacing=True)
    before, after = (_mixture("replaced", recipe, view, part) for part in (old, new))
    phrase = view.choose(_REPLACE).format(name_of(old), name_of(new))
    return view.sample([before, phrase], [after], reference=before.key, operation="replace")


def fill_gap(view: View) -> Sample:
    """A sound with one to five seconds of silence in it; the whole sound is the target."""
    seed = view.rng.getrandbits(32)
    before = derived_sound(f"gap/{seed}", _Gap(seed), view.media("audio"))
    phrase = view.choose(_FILL).format(name_of(view))
    return view.sample([before, phrase], [_whole(view)], reference=before.key, operation="inpainting")


def restore_band(view: View) -> Sample:
    """What is left of a sound at 8 kHz; the sound at 16 kHz is the target."""
    before = derived_sound("at-8-kHz", _Low(), view.media("audio"))
    phrase = view.choose(_RESTORE).format(name_of(view))
    return view.sample([before, phrase], [_whole(view)], reference=before.key, operation="super-resolution")


def apply_effect(view: View) -> Sample:
    """A sound and an effect asked for (echo, reverb, pitch, tempo); the changed sound is the target."""
    effect = EFFECTS[view.choose(list(EFFECTS))]
    before, after = _before_and_after(view, effect)
    return view.sample([before, _asked(view, effect)], [after], reference=before.key, operation=effect.name)


def exemplar_sound(view: View, shots: tuple[int, ...] = (1, 2, 4)) -> Sample:
    """Pairs of sounds that share an edit, and one more sound; that sound after the same edit is the target.

    The edit is an effect or the addition of one and the same sound.
    """
    count = view.choose(shots)
    examples: list[View] = []
    for _ in range(count):
        examples.append(view.other(*examples))
    if view.rng.random() < 0.5:
        effect = EFFECTS[view.choose(list(EFFECTS))]
        name = effect.name
        pairs = [_before_and_after(v, effect) for v in (*examples, view)]
    else:
        added = view.other(*examples, fits=_is_simple)
        name = "add"
        pairs = [(_whole(v), _mixture("under", _Under(), v, added)) for v in (*examples, view)]
    user: list[str | Media] = [part for pair in pairs[:-1] for part in pair]
    user += [f"{view.choose(_SAME)} ", pairs[-1][0]]
    return view.sample(user, [pairs[-1][1]], reference=pairs[-1][0].key, operation=name, shots=count)


def sound_rounds(view: View) -> Sample:
    """Two rounds: a sound is added, then the answer of the first round is edited (an effect, or the sound dropped)."""
    other = view.other(fits=_is_simple)
    before, mixed, phrase = _added(view, other)
    first: tuple[Parts, Parts] = ([before, phrase], [mixed])
    if view.rng.random() < 0.5:
        second: tuple[Parts, Parts] = ([view.choose(_DROP).format(name_of(other))], [before])
        return view.dialogue([first, second], reference=mixed.key, operation="drop")
    effect = EFFECTS[view.choose(list(EFFECTS))]
    after = derived_sound(effect.name, _Changed(effect.name), mixed)
    return view.dialogue([first, ([_asked(view, effect)], [after])], reference=mixed.key, operation=effect.name)


def name_of(view: View) -> str:
    """Return words for a sound: its caption or label, without the full stop.

    Raises:
        anyloom.errors.BadRecord: It has neither.
    """
    return view.text("label" if view.record.get("label") else "caption").rstrip(" .")


def _is_simple(view: View) -> bool:
    """Whether a caption names one sound alone: AUDIT takes captions of fewer than 12 words that join nothing."""
    words = name_of(view).lower().split()
    return len(words) < WORDS and not JOINING.intersection(words)


def _added(view: View, other: View) -> tuple[Media, Media, str]:
    """Return a sound, the sound with another one added, and the instruction for that."""
    if other.record.get("label"):
        recipe = _Placed(view.rng.getrandbits(32))
        _, position = start_and_position(LENGTH, _seeded(recipe.seed))
        mixed = _mixture("placed", recipe, view, other)
        return _whole(view), mixed, view.choose(_ADD_AT).format(name_of(other), position)
    return _whole(view), _mixture("under", _Under(), view, other), view.choose(_ADD).format(name_of(other))


def _mixture(name: str, recipe: _Under | _Placed, background: View, foreground: View) -> Media:
    name = f"{name}/{recipe.seed}" if isinstance(recipe, _Placed) else name
    return derived_sound(name, recipe, background.media("audio"), foreground.media("audio"))


def _whole(view: View) -> Media:
    return derived_sound("16-kHz", _Whole(), view.media("audio"))


def _before_and_after(view: View, effect: Effect) -> tuple[Media, Media]:
    return _whole(view), derived_sound(effect.name, _Changed(effect.name), view.media("audio"))


def _asked(view: View, effect: Effect) -> str:
    phrase = view.choose(effect.phrasings)
    return f"{phrase[0].upper()}{phrase[1:]}."


def _seeded(seed: int) -> np.random.RandomState:
    return np.random.RandomState(seed)
