"""Draws the samples that are measured or shown: by chance, and the same queries for every number of examples."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from anyloom.interfaces.dataset import Sample

__all__ = ["pick"]


def pick(
    samples: Sequence[Sample],
    count: int,
    seed: int,
    *,
    examples: int | None = None,
    limits: Mapping[str, int] | None = None,
) -> list[Sample]:
    """Draw at most ``count`` samples of each kind, by chance and not by result.

    Queries that come with several numbers of examples (``provenance["k"]``) are drawn together, so that these are
    compared on equal queries. Families (``provenance["family"]``) take turns.

    Args:
        samples: What to draw from.
        count: Samples per kind.
        seed: Of the draw.
        examples: Take only samples whose number of examples is nearest to this; else each number is a kind.
        limits: Smaller counts for some tasks.

    >>> from anyloom.conversation import Conversation
    >>> names = [(task, n) for task in ("caption", "edit") for n in range(5)]
    >>> samples = [Sample(Conversation([]), task, key=f"{task}{n}") for task, n in names]
    >>> [sample.task for sample in pick(samples, 2, seed=1)]
    ['caption', 'caption', 'edit', 'edit']
    """
    groups: dict[tuple[str, Any], list[Sample]] = {}
    for sample in samples:
        k = sample.provenance.get("k") if examples is None else None
        groups.setdefault((sample.task, k), []).append(sample)
    chosen: list[Sample] = []
    for (task, _), members in groups.items():
        if examples is not None:
            numbers = {s.provenance.get("k", 0) for s in members}
            nearest = min(numbers, key=lambda n: (abs(n - examples), n))
            members = [s for s in members if s.provenance.get("k", 0) == nearest]
        order = list(range(len(members)))
        random.Random(f"{seed}/{task}").shuffle(order)
        most = min(count, (limits or {}).get(task, count))
        chosen += [members[i] for i in sorted(_alternating(members, order)[:most])]
    return chosen


def _alternating(members: Sequence[Sample], order: Sequence[int]) -> list[int]:
    """The same order, but families take turns, so that few samples still show all of them."""
    seen: Counter[Any] = Counter()
    turns: dict[int, int] = {}
    for i in order:
        family = members[i].provenance.get("family")
        turns[i] = seen[family]
        seen[family] += 1
    return sorted(order, key=turns.__getitem__)
