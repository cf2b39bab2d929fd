"""Pieces of large files. The few that were read last stay open: to open one takes longer than a small read."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Final

__all__ = ["read_piece"]

_MOST_OPEN: Final = 16


class _File:
    """An open file, closed when nobody holds it any more."""

    def __init__(self, path: str) -> None:
        self.number = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


_open: Final[OrderedDict[str, tuple[_File, int, int]]] = OrderedDict()
"""By path, the one that was read last at the end; with device and inode, as another file may have taken the path."""


def read_piece(path: str, offset: int, size: int) -> bytes:
    """Return the bytes of a file from an offset on: as many as there are, up to a size. Threads may read at once.

    Raises:
        OSError: The file cannot be read.

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "abc"
    >>> _ = file.write_bytes(b"xabc")
    >>> read_piece(str(file), 1, 2), read_piece(str(file), 3, 9)
    (b'ab', b'c')
    """
    file = _opened(path)
    found = os.pread(file.number, size, offset)
    # one call of the system gives no more than about 2 GiB
    while 0 < len(found) < size and (more := os.pread(file.number, size - len(found), offset + len(found))):
        found += more
    return found


def _opened(path: str) -> _File:
    stat = os.stat(path)
    known = _open.pop(path, None)
    if known is None or known[1:] != (stat.st_dev, stat.st_ino):
        known = (_File(path), stat.st_dev, stat.st_ino)
    _open[path] = known
    while len(_open) > _MOST_OPEN:
        _open.popitem(last=False)
    return known[0]
