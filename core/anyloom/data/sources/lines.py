"""Records that are lines of a text file, found by their offsets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anyloom.data.sources.blob import Blob
from anyloom.data.sources.index import open_index
from anyloom.errors import BadRecord, ConfigError

__all__ = ["Lines"]

_BLOCK = 4 << 20
_NEWLINE, _SPACE, _QUOTE = 10, 32, 34


class Lines:
    r"""Lines of a file, without blank ones. Only ``\n`` ends a line: U+2028 and U+0085 may stand in JSON text.

    Args:
        path: The file.
        quoted: A line end inside double quotes belongs to the field, as in csv.
        index: Folder of the index; beside the file by default.
        limit: Most bytes of a line.

    Raises:
        anyloom.errors.ConfigError: There is no such file.
    """

    def __init__(
        self, path: str | Path, *, quoted: bool = False, index: Path | None = None, limit: int = 256 << 20
    ) -> None:
        self.path, self.limit = Path(path), limit
        if not self.path.is_file():
            raise ConfigError("there is no such file", where=str(path), fix="check the path")
        self._index = open_index(
            [self.path], f"lines quoted={quoted}", lambda: _scan(self.path, quoted=quoted), folder=index
        )

    def __len__(self) -> int:
        return len(self._index["starts"])

    @property
    def shards(self) -> Sequence[range]:
        """One range: lines are read at random as cheaply as in order."""
        return [range(len(self))]

    def number(self, index: int) -> int:
        """Return the number of a line in the file, from 1."""
        return int(self._index["numbers"][index]) if len(self._index["numbers"]) else index + 1

    def where(self, index: int) -> str:
        """Return file and line number, for errors."""
        return f"{self.path}:{self.number(index)}"

    def line(self, index: int) -> bytes:
        """Return a line, with its end.

        Raises:
            anyloom.errors.BadRecord: It is too long, or the file has been cut since it was indexed.
        """
        begin, end = int(self._index["starts"][index]), int(self._index["ends"][index])
        if end - begin > self.limit:
            raise BadRecord("too large", self.where(index), f"a line of {end - begin} bytes; at most {self.limit}")
        return Blob(str(self.path), begin, end - begin, str(self.number(index))).read()

    def text(self, index: int) -> str:
        """Return a line as text, without its end.

        Raises:
            anyloom.errors.BadRecord: As for :meth:`line`, or it is not UTF-8.
        """
        line = self.line(index)
        try:
            return line.decode("utf-8-sig" if index == 0 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise BadRecord("wrong format", self.where(index), f"not UTF-8 ({error})") from error


def _scan(path: Path, *, quoted: bool) -> dict[str, NDArray[Any]]:
    """Offsets of the lines that are not blank, and their numbers if there are blank ones between."""
    starts: list[NDArray[np.uint64]] = []
    stops: list[NDArray[np.uint64]] = []
    filled: list[NDArray[np.bool_]] = []
    begin, has_text, inside = 0, False, False
    place = 0
    for block in _blocks(path):
        ends = np.flatnonzero(block == _NEWLINE)
        if quoted:
            # a line end counts where the number of quotes before it, in this file, is even
            quotes = np.cumsum(block == _QUOTE) + inside
            ends = ends[quotes[ends] % 2 == 0]
            inside = bool(quotes[-1] % 2)
        pieces = np.concatenate([[0], ends + 1])
        text = np.logical_or.reduceat(np.append(block > _SPACE, False), pieces)
        text[0] |= has_text
        starts.append(np.concatenate([[begin], place + ends[:-1] + 1])[: len(ends)].astype(np.uint64))
        stops.append((place + ends + 1).astype(np.uint64))
        filled.append(text[:-1])
        if len(ends):
            begin = place + int(ends[-1]) + 1
        has_text, place = bool(text[-1]), place + len(block)
    starts.append(np.array([begin], np.uint64))
    stops.append(np.array([place], np.uint64))
    filled.append(np.array([has_text]))
    all_filled = np.concatenate(filled)
    kept = np.flatnonzero(all_filled)
    dense = len(kept) == 0 or int(kept[-1]) == len(kept) - 1
    return {
        "starts": np.concatenate(starts)[all_filled],
        "numbers": np.array([], np.uint64) if dense else kept.astype(np.uint64) + 1,
        "ends": np.concatenate(stops)[all_filled],
    }


def _blocks(path: Path) -> Iterator[NDArray[np.uint8]]:
    with path.open("rb") as file:
        while data := file.read(_BLOCK):
            yield np.frombuffer(data, np.uint8)
