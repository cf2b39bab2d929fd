"""What a file, or a piece of one, holds, by SHA-256: read once in a process, and again when the file has changed."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

__all__ = ["piece_digest"]

_REMEMBERED = 1 << 18


def piece_digest(path: str | Path, offset: int = 0, size: int | None = None) -> str:
    """Hex SHA-256 of a file, or of ``size`` bytes of it from ``offset`` on.

    A digest is remembered with the file's size, time of change and inode; one that differs in any is read anew.

    Raises:
        OSError: The file cannot be read.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "abc"
    >>> _ = file.write_bytes(b"xabc")  # the example of FIPS 180-2, B.1, after one other byte
    >>> piece_digest(file, 1)[:8]
    'ba7816bf'
    """
    found = os.stat(path)
    return _digest(os.fspath(path), offset, size, found.st_size, found.st_mtime_ns, found.st_ino)


@functools.lru_cache(_REMEMBERED)
def _digest(path: str, offset: int, size: int | None, *stamp: int) -> str:
    del stamp  # part of what is remembered, not of what is read
    with open(path, "rb") as file:
        if not offset and size is None:
            return hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(offset)
        return hashlib.sha256(file.read(-1 if size is None else size)).hexdigest()
