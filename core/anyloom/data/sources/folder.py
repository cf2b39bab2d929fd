"""Folders of files as they lie on disk, grouped by name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from anyloom.data.sources.blob import Blob
from anyloom.data.sources.groups import GroupTable
from anyloom.errors import ConfigError

__all__ = ["FolderGroups"]


class FolderGroups:
    """Groups of files of equal name below a folder, sorted by name. Links to folders are not followed.

    A record maps each extension to a :class:`Blob`, and has ``__key__``, the path below the folder without extension.

    Args:
        root: The folder.

    Raises:
        anyloom.errors.ConfigError: There is no such folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("a.txt", "a.json", "b.txt"):
    ...         _ = (Path(folder) / name).write_text("x")
    ...     groups = FolderGroups(folder)
    ...     len(groups), sorted(groups[0])
    (2, ['__key__', 'json', 'txt'])
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise ConfigError("there is no such folder", where=str(root), fix="check the path")
        names = sorted(_files(str(self.root), ""))
        self.table = GroupTable(GroupTable.build((0, name, 0, number) for number, name in enumerate(names)))
        self._names = names

    def __len__(self) -> int:
        return len(self.table)

    @property
    def shards(self) -> Sequence[range]:
        """One range: files are read at random as cheaply as in order."""
        return [range(len(self))]

    def where(self, index: int) -> str:
        """Return the path without extension, for errors."""
        return str(self.root / self.table.key(index))

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        record: dict[str, Any] = {"__key__": self.table.key(index)}
        for extension, _, number in self.table.members(index):
            record[extension] = Blob(str(self.root / self._names[number]))
        return record


def _files(folder: str, prefix: str) -> Iterator[str]:
    """Paths of all files below a folder, hidden ones left out, with ``/`` between their parts."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path, f"{prefix}{entry.name}/")
            elif entry.is_file():
                yield prefix + entry.name
