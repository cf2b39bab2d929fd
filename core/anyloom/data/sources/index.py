"""The index of a source: arrays of offsets, built once, stored whole and memory-mapped.

A stored one is used while the files have the size and time of change that it was made of, and if its check sum holds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anyloom.discovery.guarding import tell
from anyloom.errors import AnyloomError
from anyloom.storage.atomic import replacing
from anyloom.storage.caches import cache_folder
from anyloom.storage.json_text import json_value

__all__ = ["Index", "open_index"]

Arrays = Mapping[str, NDArray[Any]]

_VERSION = 2
_MAX_HEADER = 1 << 30
_WORTH_STORING = 4 << 20
"""Data of fewer bytes are indexed anew each time, which takes no longer than to read an index."""


class Index(Mapping[str, NDArray[Any]]):
    """Arrays by name. One that is stored is memory-mapped, and goes to another process as its path.

    Args:
        arrays: The arrays.
        path: File they are mapped from; None if they are in memory.

    >>> Index({"starts": np.array([0, 12])})["starts"].tolist()
    [0, 12]
    """

    def __init__(self, arrays: Arrays, path: Path | None = None) -> None:
        self._arrays, self.path = dict(arrays), path

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._arrays[name]

    def __iter__(self) -> Any:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Index, (self._arrays,)) if self.path is None else (_reopen, (self.path,))


def open_index(
    files: Sequence[Path],
    kind: str,
    build: Callable[[], Arrays],
    *,
    folder: Path | None = None,
    size: int | None = None,
) -> Index:
    """Return the index of some files: the stored one if it still fits them, else a new one.

    An index stands in ``.anyloom`` beside the first file, or where that cannot be written in the user's cache folder
    (``$XDG_CACHE_HOME/anyloom``). A file whose size or time of change differs makes it void. One that is broken is made
    again, and a line says so.

    Args:
        files: What is indexed; files or folders.
        kind: How it is indexed, with every option that matters.
        build: Makes the arrays.
        folder: Where to keep the index, in place of the default.
        size: Bytes that are indexed, if not those of the files. Little data gets no stored index.
    """
    stats = [(str(p.resolve()), s.st_size, s.st_mtime_ns) for p in files for s in [p.stat()]]
    stamp = hashlib.sha256(json.dumps([_VERSION, kind, stats]).encode()).hexdigest()
    if (sum(s for _, s, _ in stats) if size is None else size) < _WORTH_STORING:
        return Index(build())
    name = hashlib.sha256(json.dumps([kind, [p for p, _, _ in stats]]).encode()).hexdigest()[:16] + ".index"
    places = [folder] if folder is not None else [Path(stats[0][0]).parent / ".anyloom", cache_folder("index")]
    for place in places:
        stored = _sound(place / name)
        if stored is not None and stored[1] == stamp:
            return Index(stored[0], place / name)
    arrays = build()
    for place in places:
        with contextlib.suppress(OSError, AnyloomError):
            _write(place / name, arrays, stamp)
            return _reopen(place / name)
    return Index(arrays)


def _reopen(path: Path) -> Index:
    stored = _read(path)
    if stored is None:
        raise OSError(f"{path}: the index was removed while it was in use")
    return Index(stored[0], path)


def _write(path: Path, arrays: Arrays, stamp: str) -> None:
    """Write header length, JSON header and the arrays, each on a multiple of 64 bytes: whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entries: dict[str, Any] = {}
    place = check_sum = 0
    for name, array in arrays.items():
        entries[name] = [array.dtype.str, array.shape, place]
        place += -(-array.nbytes // 64) * 64
        check_sum = _added(check_sum, np.ascontiguousarray(array))
    header = json.dumps({"stamp": stamp, "crc32": check_sum, "arrays": entries}).encode()
    header += b" " * (-(len(header) + 8) % 64)
    with replacing(path) as draft, draft.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array).data if array.size else b"")
            file.write(b"\0" * (-array.nbytes % 64))


def _sound(path: Path) -> tuple[dict[str, NDArray[Any]], str] | None:
    """A stored index whose arrays are those that were written."""
    if not path.is_file():
        return None
    stored = _read(path)
    if stored is None or not _holds(path, stored[0]):
        tell(f"the index {path} is broken and is made again")
        return None
    return stored


def _holds(path: Path, arrays: Arrays) -> bool:
    check_sum = 0
    for array in arrays.values():
        check_sum = _added(check_sum, array)
    return bool(_header(path)[0].get("crc32") == check_sum)


def _added(check_sum: int, array: NDArray[Any]) -> int:
    return zlib.crc32(array.reshape(-1).view(np.uint8).data, check_sum) if array.size else check_sum


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and where the arrays begin."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json_value(file.read(min(length, _MAX_HEADER)))
    return header, 8 + length


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], str] | None:
    """Map a stored index; None if there is none or it is not one, which is then built again."""
    try:
        header, start = _header(path)
        arrays = {}
        for name, (dtype, shape, place) in header["arrays"].items():
            empty = not np.prod(shape)
            kind = np.dtype(dtype)
            # a plain view of the mapped file: elements of np.memmap itself are slow to get
            arrays[name] = (
                np.empty(shape, kind)
                if empty
                else np.asarray(np.memmap(path, kind, "r", offset=start + place, shape=tuple(shape)))
            )
        return arrays, str(header["stamp"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, struct.error):
        return None
