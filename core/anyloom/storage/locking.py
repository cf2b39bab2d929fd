"""One writer per folder: a lock that the system releases when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from anyloom.errors import CheckpointError
from anyloom.storage.atomic import file_error

__all__ = ["locked"]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same lock out of a folder.

    The lock is a hidden file beside the folder, which need not exist yet.

    Raises:
        anyloom.errors.CheckpointError: Another process has it, or the file cannot be made.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "result"
    >>> with locked(place), locked(place):
    ...     pass
    Traceback (most recent call last):
    anyloom.errors.CheckpointError: ...
    """
    path = folder.absolute().with_name(f".{folder.absolute().name}.lock")
    handle = _acquired(path, folder)
    try:
        yield
    finally:
        with suppress(OSError):  # the lock ends with the handle, whatever happens to its file
            path.unlink()
        os.close(handle)


def _acquired(path: Path, folder: Path) -> int:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise file_error(error, path) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(handle, 100).decode(errors="replace").strip()
            os.close(handle)
            raise CheckpointError(
                f"another run writes here ({owner or 'it does not say which'})",
                where=str(folder),
                fix="wait for it, or give this run a folder of its own",
            ) from error
        except OSError:  # a file system without locks: nothing can be promised there, and nothing is refused
            return handle
        if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
            os.ftruncate(handle, 0)
            os.write(handle, f"process {os.getpid()} on {os.uname().nodename}".encode())
            return handle
        os.close(handle)  # the owner before removed the file between our two calls
