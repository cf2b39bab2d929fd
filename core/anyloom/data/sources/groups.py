"""Records that are groups of files of one name: ``0001.jpg``, ``0001.txt``, ``0001.json``."""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["GroupTable", "split_name"]


def split_name(name: str) -> tuple[str, str]:
    """Split a path into key and extension, at the first dot of its last part as webdataset does.

    >>> split_name("a.b/0001.seg.PNG")
    ('a.b/0001', 'seg.png')
    """
    folder, base = posixpath.split(name)
    stem, _, extension = base.partition(".")
    return posixpath.join(folder, stem), extension.lower()


class GroupTable:
    """Groups of members in arrays, so that millions of them take little memory and can be mapped from a file.

    Members of one group follow one another; ``first[g]`` to ``first[g + 1]`` are those of group ``g``.

    Args:
        arrays: As :meth:`build` makes them.

    >>> table = GroupTable(GroupTable.build([(0, "a.png", 512, 90), (0, "a.txt", 1024, 7), (0, "b.png", 1536, 80)]))
    >>> table.key(0), table.members(0)
    ('a', [('png', 512, 90), ('txt', 1024, 7)])
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.arrays = arrays
        self._first, self._places, self._keys = arrays["first"], arrays["key_places"], arrays["keys"]
        self._members = arrays["extension"], arrays["offset"], arrays["bytes"]
        self._extensions = bytes(arrays["extensions"]).decode().split("\0")

    def __len__(self) -> int:
        return len(self.arrays["first"]) - 1

    def key(self, group: int) -> str:
        """Return the key of a group."""
        begin, end = self._places[group : group + 2].tolist()
        return self._keys[begin:end].tobytes().decode(errors="surrogateescape")

    def archive(self, group: int) -> int:
        """Return the number of the archive a group is in."""
        return int(self.arrays["archive"][group])

    def members(self, group: int) -> list[tuple[str, int, int]]:
        """Return extension, offset and size of each member."""
        begin, end = self._first[group : group + 2].tolist()
        kinds, places, sizes = self._members
        found = zip(kinds[begin:end].tolist(), places[begin:end].tolist(), sizes[begin:end].tolist())
        return [(self._extensions[k], p, s) for k, p, s in found]

    @staticmethod
    def build(members: Iterable[tuple[int, str, int, int]]) -> dict[str, NDArray[Any]]:
        """Group members.

        Args:
            members: Number of the archive, name, offset and size of each. Archives come one after another; inside one
                the members of a group may come in any order. Of two members of one name the last counts, as in tar.
        """
        extensions: dict[str, int] = {}
        parts = []
        for archive, found in itertools.groupby(members, key=itemgetter(0)):
            groups: dict[str, dict[int, tuple[int, int]]] = {}
            for _, name, offset, size in found:
                key, extension = split_name(name)
                groups.setdefault(key, {})[extensions.setdefault(extension, len(extensions))] = (offset, size)
            parts.append(_arrays(archive, groups))
        names = ("archive", "length", "key_length", "extension", "offset", "bytes", "keys")
        parts = parts or [_arrays(0, {})]
        whole = {n: np.concatenate([p[n] for p in parts]) for n in names}
        return {
            **{n: whole[n] for n in ("archive", "extension", "offset", "bytes", "keys")},
            "first": np.concatenate([[0], np.cumsum(whole["length"])]).astype(np.uint64),
            "key_places": np.concatenate([[0], np.cumsum(whole["key_length"])]).astype(np.uint64),
            "extensions": np.frombuffer("\0".join(extensions).encode(errors="surrogateescape"), np.uint8),
        }


def _arrays(archive: int, groups: Mapping[str, Mapping[int, tuple[int, int]]]) -> dict[str, NDArray[Any]]:
    """The groups of one archive."""
    keys = [key.encode(errors="surrogateescape") for key in groups]
    rows = [(kind, *place) for group in groups.values() for kind, place in group.items()]
    kinds, offsets, sizes = zip(*rows) if rows else ((), (), ())
    return {
        "archive": np.full(len(groups), archive, np.uint32),
        "length": np.array([len(g) for g in groups.values()], np.uint64),
        "key_length": np.array([len(k) for k in keys], np.uint64),
        "extension": np.array(kinds, np.uint32),
        "offset": np.array(offsets, np.uint64),
        "bytes": np.array(sizes, np.uint64),
        "keys": np.frombuffer(b"".join(keys), np.uint8),
    }
