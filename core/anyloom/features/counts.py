"""What became of features that are kept, in a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

__all__ = ["counts_line"]


def counts_line(counts: Iterable[Counter[str]]) -> str:
    """Say how many features were read, encoded and found broken, over all processes since the run began.

    >>> counts_line([Counter(read=3, encoded=1), Counter(read=2, broken=1)])
    '5 read, 1 encoded, 1 broken entry replaced'
    """
    whole = sum(counts, Counter[str]())
    broken = whole["broken"]
    told = f", {broken} broken entr{'y' if broken == 1 else 'ies'} replaced" if broken else ""
    return f"{whole['read']} read, {whole['encoded']} encoded{told}"
