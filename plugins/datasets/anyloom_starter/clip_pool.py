"""Which drawings are shown in clips: three splits by subject, and those that have a sound.

``train`` is a fifth of the training bases and all that have a sound, in plain tone; so few that every clip can be
encoded once. The subjects that no training has seen are divided by a hash into ``choose``, to compare trials on, and
``test``, to report.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from functools import cache
from typing import Final

from anyloom_starter.pack import Picture, Sound, load_pack

__all__ = ["SPLITS", "ClipPool", "clip_pool"]

SPLITS: Final = ("train", "val", "choose", "test")
_TRAINED: Final = 51  # of 256


@dataclass(frozen=True)
class ClipPool:
    """What the clips of one split are made of.

    Attributes:
        split: One of :data:`SPLITS`; ``val`` asks about the subjects of ``train``.
        bases: The plain drawings of each base, one of each style.
        links: Sounds of training with what they come from. Whoever has not heard a sound cannot know it, so these are
            of training subjects in every split.
    """

    split: str
    bases: tuple[tuple[Picture, ...], ...]
    links: tuple[tuple[Sound, Picture], ...]

    @property
    def held_out(self) -> bool:
        """Whether no stage of training has seen the subjects."""
        return self.split in ("choose", "test")

    def picture(self, rng: random.Random) -> Picture:
        """Draw a base, then one of its drawings."""
        return rng.choice(rng.choice(self.bases))

    def linked(self, rng: random.Random) -> tuple[Sound, Picture]:
        """Draw a thing, then one of its sounds and one of its drawings."""
        base = rng.choice(sorted({picture.base for _, picture in self.links}))
        return rng.choice([link for link in self.links if link[1].base == base])


@cache
def clip_pool(split: str) -> ClipPool:
    """Return the pool of one of :data:`SPLITS`."""
    pack = load_pack()
    links = tuple(link for link in pack.links if {item.split for item in link} == {"train"})
    linked = {picture.base for _, picture in links}
    held_out = split in ("choose", "test")
    found: dict[str, list[Picture]] = {}
    for picture in pack.pictures:
        if picture.tone != "none" or (picture.split == "test") != held_out:
            continue
        byte = hashlib.sha256(f"clips/{picture.subject}".encode()).digest()[0]
        taken = (byte < 128) == (split == "choose") if held_out else byte < _TRAINED or picture.base in linked
        if taken:
            found.setdefault(picture.base, []).append(picture)
    return ClipPool(split, tuple(map(tuple, found.values())), links)
