"""Tar archives of samples, as webdataset, img2dataset and the like write them. Nothing is unpacked."""

from __future__ import annotations

import itertools
import posixpath
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from anyloom.data.sources.blob import Blob
from anyloom.data.sources.groups import GroupTable
from anyloom.data.sources.index import open_index
from anyloom.errors import BadRecord, ConfigError

__all__ = ["TarGroups"]

_UNUSABLE = int(np.iinfo(np.uint64).max)
"""Offset of a member that is no plain file or whose name leads out of its folder, and of a place that is damaged."""

_REASON = "not a plain file inside the archive's folder, or the archive is damaged after the member before"


class TarGroups:
    """Groups of members of equal name in uncompressed tar archives.

    A record maps each extension to a :class:`Blob`, and has ``__key__`` (the name without extension) and ``__url__``
    (the archive).

    Args:
        archives: The files, in order.
        index: Folder of the index; beside the first archive by default.

    Raises:
        anyloom.errors.ConfigError: An archive is missing, or none is an uncompressed tar archive. Of several, one that
            is damaged gives a bad record where it is.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.tar"
    ...     _ = (Path(folder) / "b.txt").write_text("a red heart")
    ...     with tarfile.open(path, "w") as archive:
    ...         archive.add(Path(folder) / "b.txt", "b.txt")
    ...     TarGroups([path])[0]["txt"].text()
    'a red heart'
    """

    def __init__(self, archives: Sequence[str | Path], *, index: Path | None = None) -> None:
        self.archives = [Path(a) for a in archives]
        self._paths = [str(a) for a in self.archives]
        for archive in self.archives:
            if not archive.is_file():
                raise ConfigError("there is no such archive", where=str(archive), fix="check the path")
        self._index = open_index(
            self.archives, "tar without hidden files", lambda: GroupTable.build(self._members()), folder=index
        )
        self._table: GroupTable | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_table": None}

    @property
    def table(self) -> GroupTable:
        """Keys and members of all groups."""
        if self._table is None:
            self._table = GroupTable(self._index)
        return self._table

    def __len__(self) -> int:
        return len(self.table)

    @property
    def shards(self) -> Sequence[range]:
        """One range for each archive that has members."""
        found = self._index["archive"]
        edges = [0, *(np.flatnonzero(np.diff(found)) + 1).tolist(), len(found)]
        return [range(a, b) for a, b in itertools.pairwise(edges) if b > a]

    def where(self, index: int) -> str:
        """Return archive and key, for errors."""
        return f"{self.archives[self.table.archive(index)]}:{self.table.key(index)}"

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        """Return a group.

        Raises:
            anyloom.errors.BadRecord: A member is a link or a device, or its name leads out of its folder.
        """
        table = self.table
        archive, key = self._paths[table.archive(index)], table.key(index)
        record: dict[str, Any] = {"__key__": key, "__url__": archive}
        for extension, offset, size in table.members(index):
            name = f"{key}.{extension}" if extension else key
            if offset == _UNUSABLE:
                raise BadRecord("wrong format", f"{archive}:{name}", _REASON)
            record[extension] = Blob(archive, offset, size, name)
        return record

    def _members(self) -> Iterator[tuple[int, str, int, int]]:
        unreadable = []
        for number, path in enumerate(self.archives):
            try:
                headers, whole = _headers(path)
            except tarfile.TarError as error:
                unreadable.append(f"{path} ({error})")
                headers, whole = [], False
            for member in headers:
                plain = member.isreg() and not member.issparse() and _inside(member.name)
                hidden = posixpath.basename(member.name).startswith(".")  # "._0001.jpg" is what macOS adds to archives
                if not member.isdir() and not (plain and hidden):
                    yield number, member.name, member.offset_data if plain else _UNUSABLE, member.size
            if not whole:
                yield number, "(damaged)", _UNUSABLE, 0
        if unreadable and len(unreadable) == len(self.archives):
            raise ConfigError(
                f"not an uncompressed tar archive: {unreadable[0]}",
                where=str(self.archives[0]),
                fix="uncompress it: members of a compressed archive cannot be read at random",
            )


def _headers(path: Path) -> tuple[list[tarfile.TarInfo], bool]:
    """All headers, and whether zeros follow the last member as they should.

    Else a header is damaged or the rest is missing, which tarfile takes for the end. Of a cut archive the last member
    is among the headers, and is found cut when it is read.
    """
    found: list[tarfile.TarInfo] = []
    with tarfile.open(path, "r:") as archive:
        try:
            while (member := archive.next()) is not None:
                found.append(member)
        except tarfile.ReadError:
            if not found:
                raise
            return found, False
        end = archive.offset
    with open(path, "rb") as file:
        file.seek(end)
        block = file.read(tarfile.BLOCKSIZE)
    return found, bool(block) and not any(block)


def _inside(name: str) -> bool:
    """Whether a name stays in the folder it is unpacked to."""
    return not posixpath.isabs(name) and ".." not in name.split("/") and "\\" not in name
