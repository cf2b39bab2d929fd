"""How much a folder may hold: counted once, then kept up with what this process adds, and counted anew now and then."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from anyloom.errors import CheckpointError

__all__ = ["Room", "bytes_on_disk", "held"]

_BLOCK: Final = 4096
_SPARE: Final = 1 << 30
"""Bytes that are left free on the disk, for checkpoints and whatever else the run writes; at most a twentieth of it."""

_SHARE: Final = 64


class Room:
    """Says when a folder is full.

    What other processes add is seen after this one has added a 64th of the limit, so that N writers take at most N
    times as much beyond it.

    Args:
        folder: The folder.
        limit: Bytes that it may hold.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     room = Room(Path(folder), limit=10_000)
    ...     room.take(4_000)
    ...     try:
    ...         room.take(8_000)
    ...     except CheckpointError as error:
    ...         print(type(error).__name__)
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._held: int | None = None
        self._added = 0

    def take(self, size: int) -> None:
        """Count bytes that are about to be written.

        Raises:
            anyloom.errors.CheckpointError: They do not fit.
        """
        taken = bytes_on_disk(size)
        if self._held is None or self._added > self.limit // _SHARE or self._held + taken > self.limit:
            self._held, self._added = held(self.folder), 0
        if self._held + taken > self.limit:
            raise CheckpointError(
                f"{self._held / 1e9:,.3g} GB are there and {self.limit / 1e9:,.3g} GB allowed",
                where=str(self.folder),
                fix="raise max_gb, or delete what is no longer used in that folder",
            )
        disk = shutil.disk_usage(self.folder)
        if disk.free - taken < min(_SPARE, disk.total // 20):
            raise CheckpointError(
                f"only {disk.free / 1e9:,.3g} GB are free on the disk", where=str(self.folder), fix="make room there"
            )
        self._held, self._added = self._held + taken, self._added + taken


def held(folder: Path) -> int:
    """Bytes that the files below a folder take on the disk; those that vanish meanwhile are left out.

    >>> held(Path("no/such/folder"))
    0
    """
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += bytes_on_disk(os.stat(os.path.join(place, name)).st_size)
            except OSError:
                continue
    return total


def bytes_on_disk(size: int) -> int:
    """Bytes that a file of a size takes, in blocks.

    >>> bytes_on_disk(1), bytes_on_disk(4097)
    (4096, 8192)
    """
    return -(-size // _BLOCK) * _BLOCK
