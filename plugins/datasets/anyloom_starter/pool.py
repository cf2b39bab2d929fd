"""What can be drawn from one split: subjects, operations with their pairs, sounds, links, sequences."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, TypeVar

from anyloom.conversation import Media
from anyloom_starter.edits import PIXEL_EDITS, content_edits
from anyloom_starter.media import picture_media
from anyloom_starter.pack import Picture, Sound, load_pack

__all__ = ["MIN_SUBJECTS", "Even", "Pair", "Pool", "draw", "operations", "pool_of"]

MIN_SUBJECTS = 6  # an operation needs that many training subjects to be shown by examples
_TRIES = 1000

Even = Literal["bases", "drawings"]

T = TypeVar("T")


@dataclass(frozen=True)
class Pair:
    """A picture before and after an operation, and what drawings the two were made from."""

    operation: str
    source: Media
    target: Media
    drawings: tuple[Picture, Picture]

    @property
    def subject(self) -> str:
        """Return the subject that both show."""
        return self.drawings[0].subject


@dataclass(frozen=True)
class Pool:
    """The pictures and sounds of one split, by the ways in which tasks draw them.

    Attributes:
        split: ``train``, ``test``, or ``choose``: what ``train`` has, asked about in words of its own.
        bases: The drawings of each base; one group of all drawings if these are to be drawn evenly.
        content: Content operation -> pairs of drawings, by base so that bases with many tones do not dominate.
        sounds: All sounds.
        named: The sounds of ``train``.
        links: Pairs that show and sound the same thing.
    """

    split: str
    bases: tuple[tuple[Picture, ...], ...]
    content: dict[str, tuple[tuple[tuple[Picture, Picture], ...], ...]]
    sounds: tuple[Sound, ...]
    named: tuple[Sound, ...]
    links: tuple[tuple[Sound, Picture], ...]

    def picture(self, rng: random.Random) -> Picture:
        """Draw a group, then one of its drawings."""
        return rng.choice(rng.choice(self.bases))

    def pair(self, rng: random.Random, operation: str, state: str | None = None, avoid: Collection[str] = ()) -> Pair:
        """Draw a pair of pictures before and after ``operation``, which visibly changes them.

        Args:
            rng: Source of chance.
            operation: Name of a pixel edit or of a content operation.
            state: Pixel edit that both pictures have undergone before.
            avoid: Subjects that must not be drawn.
        """
        states = (state,) if state else ()
        if operation in PIXEL_EDITS:
            picture = draw(
                lambda: self.picture(rng),
                lambda found: found.subject not in avoid and operation not in found.unchanged,
            )
            source, target = picture_media(picture, *states), picture_media(picture, *states, operation)
            return Pair(operation, source, target, (picture, picture))
        groups = self.content[operation]
        before, after = draw(lambda: rng.choice(rng.choice(groups)), lambda found: found[0].subject not in avoid)
        return Pair(operation, picture_media(before, *states), picture_media(after, *states), (before, after))

    def sound_and_named(self, rng: random.Random, count: int) -> list[Sound]:
        """Draw a sound of this split, and others that may be asked for by name: training has heard these.

        The name of a sound never heard says next to nothing about it. No two are takes of one.
        """
        chosen = [rng.choice(self.sounds)]
        while len(chosen) < count:
            stems = {sound.stem for sound in chosen}
            chosen.append(rng.choice([sound for sound in self.named if sound.stem not in stems]))
        return chosen


def draw(attempt: Callable[[], T], accept: Callable[[T], bool]) -> T:
    """Return the first accepted of many attempts."""
    for _ in range(_TRIES):
        if accept(found := attempt()):
            return found
    raise AssertionError("nothing acceptable to draw: the pool is too small for what was asked")


@cache
def pool_of(split: str, even: Even = "bases") -> Pool:
    """Return the pool of ``train``, ``choose`` or ``test``; its pictures are drawn evenly by base, or all alike."""
    if split == "choose":
        return replace(pool_of("train", even), split=split)
    pack = load_pack()
    pictures = [picture for picture in pack.pictures if picture.split == split]
    content: dict[str, list[tuple[Picture, Picture]]] = defaultdict(list)
    for picture in pictures:
        for edit in content_edits(picture):
            content[edit.name].append((picture, edit.target))
    return Pool(
        split=split,
        bases=_grouped(pictures, lambda picture: picture.base if even == "bases" else ""),
        content={name: _grouped(pairs, lambda pair: pair[0].base) for name, pairs in sorted(content.items())},
        sounds=tuple(sound for sound in pack.sounds if sound.split == split),
        named=tuple(sound for sound in pack.sounds if sound.split == "train"),
        links=tuple(pair for pair in pack.links if {pair[0].split, pair[1].split} == {split}),
    )


def _grouped(items: Iterable[T], key: Callable[[T], str]) -> tuple[tuple[T, ...], ...]:
    groups: dict[str, list[T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return tuple(tuple(group) for group in groups.values())


@cache
def operations(family: str, split: str) -> tuple[str, ...]:
    """Return the operations of a family that a split has and that enough training subjects show."""
    if family in {edit.family for edit in PIXEL_EDITS.values()}:
        return tuple(name for name, edit in PIXEL_EDITS.items() if edit.family == family)
    shown = {
        name
        for name, groups in pool_of("train").content.items()
        if len({pair[0].subject for group in groups for pair in group}) >= MIN_SUBJECTS
    }
    return tuple(name for name in pool_of(split).content if name.startswith(f"{family}/") and name in shown)
