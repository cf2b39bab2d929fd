"""Structure of interleaved answers: which media, how many, in which order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Structure", "structure_of"]


class Structure(NamedTuple):
    """Agreement of an answer's parts with those that were asked for, each in 0..1; higher is better.

    Args:
        kinds: The same modalities are there, in whatever number and order.
        counts: Each modality is there as often.
        order: The parts stand in exactly the same order.
        overlap: F1 of the counts, part by part: 2 matched / (given + wanted).
        aligned: Longest common subsequence, 2 length / (given + wanted).
    """

    kinds: float
    counts: float
    order: float
    overlap: float
    aligned: float


def structure_of(given: Sequence[str], wanted: Sequence[str]) -> Structure:
    """Compare the parts of two messages.

    Args:
        given: Modality of each part of the answer, in order; neighbouring texts are one part, empty texts none.
        wanted: The same of the target.

    >>> structure_of(["text", "image"], ["image", "text"])
    Structure(kinds=1.0, counts=1.0, order=0.0, overlap=1.0, aligned=0.5)
    """
    first, second = Counter(given), Counter(wanted)
    total = len(given) + len(wanted)
    return Structure(
        kinds=float(set(first) == set(second)),
        counts=float(first == second),
        order=float(list(given) == list(wanted)),
        overlap=2 * (first & second).total() / total if total else 1.0,
        aligned=2 * _common(given, wanted) / total if total else 1.0,
    )


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for a in first:
        diagonal = 0
        for j, b in enumerate(second, 1):
            diagonal, row[j] = row[j], diagonal + 1 if a == b else max(row[j], row[j - 1])
    return row[-1]
