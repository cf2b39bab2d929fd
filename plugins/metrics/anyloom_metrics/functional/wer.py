"""Word error rate of transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["WordErrors", "word_errors"]


class WordErrors(NamedTuple):
    """Edits of one transcript. The rate of a data set is the sum of edits over the sum of words.

    Args:
        edits: Fewest substitutions, insertions and deletions.
        words: Words of the reference.
    """

    edits: int
    words: int


def word_errors(predicted: str, reference: str) -> WordErrors:
    """Count word errors; words are what stands between white space, case counts (normalise before).

    Args:
        predicted: The transcript.
        reference: What was said.

    >>> word_errors("this is the prediction", "this is the reference")
    WordErrors(edits=1, words=4)
    >>> word_errors("a b", "")
    WordErrors(edits=2, words=0)
    """
    said, meant = predicted.split(), reference.split()
    return WordErrors(_distance(said, meant), len(meant))


def _distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Levenshtein distance, one row of its table at a time."""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        above, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            above, row[j] = row[j], min(above + (a != b), row[j] + 1, row[j - 1] + 1)
    return row[-1]
