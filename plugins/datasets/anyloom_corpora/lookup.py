"""From the name of a row to its number, for millions of rows: two arrays, no dictionary."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from anyloom.data.sources.index import open_index

__all__ = ["Lookup"]


class Lookup:
    """Finds rows by name. The last of several rows of one name counts, as in a JSON object.

    Args:
        name: Returns the name of a row; must be picklable.
        files: What the rows are read from: the arrays are kept with them, and made anew when they change.
        names: Returns all names in order.
    """

    def __init__(self, name: Callable[[int], str], files: Sequence[Path], names: Callable[[], Iterable[str]]) -> None:
        self.name = name
        self._index = open_index(files, "lookup", lambda: _sorted_hashes(names()))

    def find(self, name: str) -> int | None:
        """Return the number of the row of that name, None if there is none."""
        hashes, rows = self._index["hashes"], self._index["rows"]
        begin, end = (int(np.searchsorted(hashes, _hash(name), side=side)) for side in ("left", "right"))
        found = [int(row) for row in rows[begin:end] if self.name(int(row)) == name]
        return max(found) if found else None


def _sorted_hashes(names: Iterable[str]) -> dict[str, np.ndarray[tuple[int], np.dtype[np.uint64]]]:
    hashes = np.fromiter(map(_hash, names), np.uint64)
    order = np.argsort(hashes, kind="stable")
    return {"hashes": hashes[order], "rows": order.astype(np.uint64)}


def _hash(name: str) -> np.uint64:
    digest = hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))
