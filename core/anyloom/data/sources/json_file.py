"""One JSON file that holds many records: the elements of a list, or the members of an object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anyloom.data.sources.blob import Blob
from anyloom.data.sources.index import open_index
from anyloom.data.sources.jsonl import parse_json
from anyloom.errors import BadRecord, ConfigError

__all__ = ["JsonFile"]

_BLOCK = 4 << 20
_LONGEST_NAME = 4096
_QUOTE, _BACKSLASH, _COMMA = ord('"'), ord("\\"), ord(",")
_STEP = np.zeros(256, np.int8)
_STEP[[ord("["), ord("{")]] = 1
_STEP[[ord("]"), ord("}")]] = -1
_MARK = (_STEP != 0) | np.isin(np.arange(256), [_QUOTE, _COMMA])


class JsonFile:
    """Elements of a JSON list, or members of a JSON object, found by offsets: a file of gigabytes is never in memory.

    An element that is an object is the record. A member ``"id": {...}`` gives its fields and ``__key__``, the id. What
    is no object is the field ``value``.

    Args:
        path: The file.
        key: The list or object is the value of this key of the file's object; the file's own value by default.
        index: Folder of the index; beside the file by default.
        limit: Most bytes of an element.

    Raises:
        anyloom.errors.ConfigError: There is no such file, it is no JSON list or object, or has no such key.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.json"
    ...     _ = path.write_text('{"pictures": [{"id": 1}, {"id": 2}]}')
    ...     file = JsonFile(path, key="pictures")
    ...     len(file), file[1]
    (2, {'id': 2})
    """

    def __init__(
        self, path: str | Path, *, key: str | None = None, index: Path | None = None, limit: int = 256 << 20
    ) -> None:
        self.path, self.key, self.limit = Path(path), key, limit
        if not self.path.is_file():
            raise ConfigError("there is no such file", where=str(path), fix="check the path")
        self._index = open_index([self.path], f"json key={key}", self._scan, folder=index)
        self._members = bool(self._index["members"][0])

    def __len__(self) -> int:
        return len(self._index["places"])

    @property
    def shards(self) -> Sequence[range]:
        """One range: elements are read at random as cheaply as in order."""
        return [range(len(self))]

    def where(self, index: int) -> str:
        """Return the file and the number of the element, for errors."""
        return f"{self.path}[{index}]"

    def name(self, index: int) -> str:
        """Return the name of a member without a look at its value; empty for elements of a list.

        Raises:
            anyloom.errors.BadRecord: It is not JSON.
        """
        if not self._members:
            return ""
        begin, end = self._index["places"][index].tolist()
        return self._name(Blob(str(self.path), begin, min(end - begin, _LONGEST_NAME)).read(), index)

    def _name(self, head: bytes, index: int) -> str:
        head = head.lstrip()
        quote = head.find(b'"', 1)
        while quote > 0 and _odd_run(head, quote, False):
            quote = head.find(b'"', quote + 1)
        return str(parse_json(head[: quote + 1], self.where(index)))

    def names(self) -> Iterator[str]:
        """Return the names of all members in order, with the file opened once.

        Raises:
            anyloom.errors.BadRecord: One is not JSON.
        """
        with self.path.open("rb") as file:
            for index, (begin, end) in enumerate(self._index["places"].tolist() if self._members else ()):
                file.seek(begin)
                yield self._name(file.read(min(end - begin, _LONGEST_NAME)), index)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """Parse an element.

        Raises:
            anyloom.errors.BadRecord: It is not JSON, or too large.
        """
        begin, end = self._index["places"][index].tolist()
        if end - begin > self.limit:
            raise BadRecord("too large", self.where(index), f"an element of {end - begin} bytes")
        data = Blob(str(self.path), begin, end - begin).read()
        value = parse_json(b"{%s}" % data if self._members else data, self.where(index))
        if not self._members:
            return value if isinstance(value, dict) else {"value": value}
        ((name, value),) = value.items()
        return {**(value if isinstance(value, dict) else {"value": value}), "__key__": name}

    def _scan(self) -> dict[str, NDArray[Any]]:
        first, places = _elements(self.path, 1, 0, None)
        if self.key is None:
            return {"members": np.array([first == ord("{")]), "places": places}
        with self.path.open("rb") as file:
            for begin, end in places.tolist() if first == ord("{") else []:
                file.seek(begin)
                head = file.read(min(end - begin, 4096))
                name, colon, _ = head.partition(b":")
                if parse_json(name.strip() or b"null", str(self.path)) != self.key:
                    continue
                value = begin + len(name) + len(colon)
                first, places = _elements(self.path, 1, value, end)
                return {"members": np.array([first == ord("{")]), "places": places}
        raise ConfigError(f"no list or object {self.key!r} at the top", where=str(self.path), fix="check the layout")


def _elements(path: Path, level: int, begin: int, end: int | None) -> tuple[int, NDArray[np.int64]]:
    """First byte of the JSON value between two places, and begin and end of its elements ``(N, 2)``."""
    edges: list[NDArray[np.int64]] = []
    depth, inside, escaped = 0, False, False
    first = 0
    place = begin
    with path.open("rb") as file:
        file.seek(begin)
        while data := file.read(_BLOCK if end is None else min(_BLOCK, end - place)):
            block = np.frombuffer(data, np.uint8)
            if not first:
                text = data.removeprefix(b"\xef\xbb\xbf").lstrip()
                first = text[0] if text else 0
                if text and first not in b"[{":
                    raise ConfigError("neither a JSON list nor an object", where=str(path), fix="check the layout")
            marks = np.flatnonzero(_MARK[block])
            kinds = block[marks]
            real = kinds != _QUOTE
            real |= ~_escaped(data, marks, escaped)
            escaped = _ends_escaped(data, escaped)
            marks, kinds = marks[real], kinds[real]
            # a mark is outside of strings where the number of quotes before it is even
            quotes = np.cumsum(kinds == _QUOTE) + inside
            inside = bool(quotes[-1] % 2) if len(quotes) else inside
            outside = (quotes % 2 == 0) & (kinds != _QUOTE)
            marks, kinds = marks[outside], kinds[outside]
            steps = _STEP[kinds].astype(np.int64)
            after = depth + np.cumsum(steps)
            depth = int(after[-1]) if len(after) else depth
            # the edges of elements: what opens the level, commas on it, and what closes it
            edge = np.where(steps < 0, after + 1, after) == level
            edges.append(place + marks[edge])
            place += len(data)
    if not first:
        raise ConfigError("the file is empty", where=str(path), fix="check that it is whole")
    found = np.concatenate(edges)
    if depth > 0:  # the file is cut: so is its last element
        found = np.append(found, place)
    places = np.stack([found[:-1] + 1, found[1:]], 1) if len(found) > 1 else np.zeros((0, 2), np.int64)
    return first, places[: _filled(path, places)]


def _escaped(data: bytes, marks: NDArray[np.int64], before: bool) -> NDArray[np.bool_]:
    """Whether an odd number of backslashes stands before each mark; ``before`` says so of the block's first byte."""
    block = np.frombuffer(data, np.uint8)
    found = np.zeros(len(marks), bool)
    found[marks == 0] = before
    for n in np.flatnonzero((marks > 0) & (block[marks - 1] == _BACKSLASH)):
        found[n] = _odd_run(data, int(marks[n]), before)
    return found


def _odd_run(data: bytes, end: int, before: bool) -> bool:
    begin = end
    while begin and data[begin - 1] == _BACKSLASH:
        begin -= 1
    # a run that reaches the block's start goes on from the block before
    return bool((end - begin + (before if begin == 0 else 0)) % 2)


def _ends_escaped(data: bytes, before: bool) -> bool:
    return _odd_run(data, len(data), before)


def _filled(path: Path, places: NDArray[np.int64]) -> int:
    """Number of elements without an empty one at the end: ``[]`` has none."""
    if not len(places):
        return 0
    begin, end = places[-1].tolist()
    with path.open("rb") as file:
        file.seek(begin)
        return len(places) - (not file.read(min(end - begin, 1 << 16)).strip())
