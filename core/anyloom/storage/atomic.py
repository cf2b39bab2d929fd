"""Writing a file whole or not at all: everything that anyloom keeps goes through here.

The new content is written beside its target, so that the last move stays within one file system and is atomic. File and
folder are flushed to the disk before and after it, so that a power cut leaves the old file or the new one.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from anyloom.errors import AnyloomError, CheckpointError

__all__ = ["DRAFT", "file_error", "flush", "remove_drafts", "replacing", "system_errno", "write_text"]

DRAFT: Final = ".draft"
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a file beside ``path`` to write; when the block ends without an error it takes the place of ``path``.

    Args:
        path: The file to make or replace. Its folder is made.
        durable: Wait until it is on the disk. Without that a power cut may leave a broken file: only for what is
            checked when it is read, and can be made again.

    Yields:
        An empty file in the same folder, with the permissions that a new file gets here (the umask's).

    Raises:
        anyloom.errors.CheckpointError: The disk is full, or nothing may be written there. ``path`` is as it was.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "numbers.txt"
    >>> with replacing(target) as draft:
    ...     _ = draft.write_text("1 2 3")
    >>> target.read_text()
    '1 2 3'
    """
    draft: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=DRAFT, dir=path.parent)
        os.close(handle)
        draft = Path(name)
        yield draft
        draft.chmod(0o666 & ~_umask())  # mkstemp and safetensors make files for their owner alone
        if durable:
            flush(draft)
        draft.replace(path)
        if durable:
            flush(path.parent)
    except OSError as error:
        raise file_error(error, path) from error
    finally:
        if draft is not None:
            draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Raises:
        anyloom.errors.CheckpointError: It cannot be written; an older file is as it was.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(Path(folder) / "a.txt", "whole")
    ...     sorted(os.listdir(folder))
    ['a.txt']
    """
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some network file systems cannot flush a folder
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def remove_drafts(folder: Path) -> None:
    """Delete what killed writers left in a folder. Only for a folder that nobody else writes to.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / f".a.txt{DRAFT}").write_text("ha")
    ...     remove_drafts(Path(folder))
    ...     os.listdir(folder)
    []
    """
    for draft in folder.glob(f".*{DRAFT}"):
        if draft.is_file():
            draft.unlink(missing_ok=True)


def file_error(error: OSError, path: Path) -> AnyloomError:
    """Say what an error of the file system means for a file that was to be written.

    >>> print(file_error(OSError(errno.EROFS, "Read-only file system"), Path("runs/a")))
    runs/a: cannot be written (Read-only file system). To fix: give a place that can be written to
    """
    reason = error.strerror or str(error)
    fix = "give a place that can be written to"
    if error.errno in _FULL:
        fix = "make room on that disk, or write elsewhere"
    elif error.errno == errno.EFBIG:
        fix = "raise the limit on the size of files (ulimit -f), or write elsewhere"
    return CheckpointError(f"cannot be written ({reason})", where=str(path), fix=fix)


def system_errno(error: Exception) -> int:
    """The number of the system's error that a library in Rust tells in words; 0 where there is none.

    >>> system_errno(ValueError("I/O error: No space left on device (os error 28)"))
    28
    """
    words = str(error).rpartition("os error ")[2].split(")")[0]
    return int(words) if words.isdecimal() else 0


def _umask() -> int:
    """The umask of this process; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
