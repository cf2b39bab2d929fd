"""One writer per folder: a lock that the system releases when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from anyloom.errors import CheckpointError
from anyloom.storage.atomic import file_error

__all__ = ["InUseError", "locked", "moving"]

_PAUSE: Final = 0.02


class InUseError(CheckpointError):
    """Another process writes to the same place.

    >>> print(InUseError(Path("runs/a"), "process 7"))
    runs/a: another run writes here (process 7). To fix: wait for it, or give this run a folder of its own
    """

    def __init__(self, folder: Path, owner: str) -> None:
        super().__init__(
            f"another run writes here ({owner or 'it does not say which'})",
            where=str(folder),
            fix="wait for it, or give this run a folder of its own",
        )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same lock out of a folder.

    The lock is a hidden file beside the folder, which need not exist yet; inside it, where the folder above may not be
    written.

    Raises:
        InUseError: Another process has it.
        anyloom.errors.CheckpointError: The file cannot be made.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp()) / "result"
    >>> with locked(place), locked(place):
    ...     pass
    Traceback (most recent call last):
    anyloom.storage.locking.InUseError: ...
    """
    path = _place(folder.absolute())
    handle = _acquired(path, folder)
    _HELD.add(handle)
    try:
        yield
    finally:
        if handle in _HELD:  # not so in a process that was forked meanwhile
            with suppress(OSError):  # the lock ends with the handle, whatever happens to its file
                path.unlink()
        _close(handle)


@contextmanager
def moving(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keep others from exchanging the files of a folder that is there; a reader may ask for it, too.

    Args:
        folder: The folder. The lock is on itself, so nothing is written.
        wait: Wait for whoever has it.

    Raises:
        InUseError: Another one has it, and ``wait`` is false.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, moving(Path(folder)):
    ...     try:
    ...         with moving(Path(folder)):
    ...             pass
    ...     except InUseError as error:
    ...         print(error.what)
    another run writes here (it is saving its result)
    """
    handle = os.open(folder, os.O_RDONLY)
    _HELD.add(handle)
    try:
        while not _taken(handle):
            if not wait:
                raise InUseError(folder, "it is saving its result")
            time.sleep(_PAUSE)
        yield
    finally:
        _close(handle)


_HELD: Final[set[int]] = set()
"""Open files whose locks are this process's own. A process that is forked has copies of them, and with a copy it would
keep the lock when its owner is gone: a worker of a run that was killed lives on for a moment."""


def _close(handle: int) -> None:
    if handle in _HELD:
        _HELD.discard(handle)
        os.close(handle)


def _leave_to_owner() -> None:
    while _HELD:
        os.close(_HELD.pop())


os.register_at_fork(after_in_child=_leave_to_owner)


def _place(folder: Path) -> Path:
    beside = folder.with_name(f".{folder.name}.lock")
    return folder / ".lock" if folder.is_dir() and not os.access(folder.parent, os.W_OK) else beside


def _taken(handle: int) -> bool:
    """Whether the lock on an open file is ours now."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: nothing can be promised there, and nothing is refused
        return True
    return True


def _acquired(path: Path, folder: Path) -> int:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise file_error(error, path) from error
        if not _taken(handle):
            owner = os.read(handle, 100).decode(errors="replace").strip()
            os.close(handle)
            raise InUseError(folder, owner)
        if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
            with suppress(OSError):  # a full disk: the lock holds without its owner's name
                os.ftruncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {os.uname().nodename}".encode())
            return handle
        os.close(handle)  # the owner before removed the file between our two calls
