"""Exemplar editing by two operations at once, one on geometry and one on colour.

A third of all compositions is held out: training never draws them, and the test split draws only them. So answers to
the test split show whether a model puts together what it learned apart, however many other compositions it has seen.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import replace

from anyloom.interfaces import Sample
from anyloom_starter.edits import PIXEL_EDITS
from anyloom_starter.media import picture_media
from anyloom_starter.picture_edits import Form, exemplar_sample
from anyloom_starter.pool import Pair, Pool, draw

__all__ = ["Composition", "composed_pairs", "composition_sample", "compositions", "held_out"]

Composition = tuple[str, str]


def compositions(names: Sequence[str]) -> tuple[Composition, ...]:
    """Return every pair of a geometry and a colour edit among ``names``.

    >>> compositions(["geometry/mirror", "colour/grey", "colour/dark"])
    (('geometry/mirror', 'colour/grey'), ('geometry/mirror', 'colour/dark'))
    """
    geometry, colour = ([n for n in names if n.startswith(f"{family}/")] for family in ("geometry", "colour"))
    return tuple((first, second) for first in geometry for second in colour)


def held_out(names: Composition) -> bool:
    """Whether training never shows this composition.

    The rule looks at places in the list of all pixel edits, so that every single edit stands in compositions of both
    kinds, and it does not depend on the edits that a data set uses.

    >>> [held_out(("geometry/mirror", colour)) for colour in ("colour/shift-third", "colour/grey", "colour/dark")]
    [False, False, True]
    """
    first, second = map(list(PIXEL_EDITS).index, names)
    return (first + second) % 3 == 0


def composed_pair(rng: random.Random, pool: Pool, names: Composition, avoid: Collection[str] = ()) -> Pair:
    """Draw a picture that both operations visibly change, before and after them."""
    picture = draw(
        lambda: pool.picture(rng),
        lambda found: found.subject not in avoid and not set(names) & set(found.unchanged),
    )
    return Pair("+".join(names), picture_media(picture), picture_media(picture, *names), (picture, picture))


def composed_pairs(rng: random.Random, pool: Pool, names: Composition, count: int, avoid: str) -> list[Pair]:
    """Draw pairs of different subjects that show the same composition, none of them about ``avoid``."""
    pairs: list[Pair] = []
    while len(pairs) < count:
        pairs.append(composed_pair(rng, pool, names, {avoid, *(pair.subject for pair in pairs)}))
    return pairs


def composition_sample(query: Pair, examples: Sequence[Pair], form: Form) -> Sample:
    """Return the exemplar sample of a composed query, as a task and a family of its own."""
    sample = exemplar_sample(query, examples, form)
    return replace(sample, task="composition", provenance={**sample.provenance, "family": "composition"})
