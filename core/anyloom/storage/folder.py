"""Replacing the files of a folder together, so that an interrupted save never mixes an old result and a new one.

The new files are written into ``.saving`` inside the folder. When all are on the disk that is renamed to ``.saved``,
which is the moment of truth: before it the old result stands untouched, after it the new one is complete and
:func:`finish` moves what is left to move, in this process or in the next one that reads the folder. What else lies in
the folder (logs, checkpoints, notes) stays.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from anyloom.errors import AnyloomError
from anyloom.storage.atomic import file_error, flush, system_errno
from anyloom.storage.first_use import forget
from anyloom.storage.locking import moving

__all__ = ["finish", "replacing_folder"]

_SAVING: Final = ".saving"
_SAVED: Final = ".saved"


@contextmanager
def replacing_folder(folder: Path, *, last: str = "config.json") -> Iterator[Path]:
    """Give an empty folder to fill; when the block ends without an error its files replace those of ``folder``.

    Args:
        folder: The folder, made if missing.
        last: The file that says what the others are: it is moved after them.

    Yields:
        The folder to write into, on the same file system.

    Raises:
        anyloom.errors.CheckpointError: The disk is full, or nothing may be written there, or another process saves
            there now. ``folder`` is as it was.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with replacing_folder(Path(place) / "result") as draft:
    ...         _ = (draft / "config.json").write_text("{}")
    ...     os.listdir(Path(place) / "result")
    ['config.json']
    """
    draft = folder / _SAVING
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with moving(folder):
            _finish(folder, last)
            shutil.rmtree(draft, ignore_errors=True)  # of a save that was killed
            draft.mkdir()
            try:
                yield draft
                for path in [*draft.rglob("*"), draft]:
                    flush(path)
                draft.rename(folder / _SAVED)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            flush(folder)
            _finish(folder, last)
            forget(folder)
    except OSError as error:
        raise file_error(error, folder) from error
    except Exception as error:  # of safetensors and tokenizers, which write for themselves
        if isinstance(error, AnyloomError) or not system_errno(error):
            raise
        raise file_error(OSError(system_errno(error), str(error)), folder) from error


def finish(folder: Path, *, last: str = "config.json") -> None:
    """Put the files of a complete save in their places, where an earlier process was stopped in between.

    A process that is just doing so is waited for.

    Raises:
        anyloom.errors.CheckpointError: There is such a save, and nothing may be written here.
    """
    if not os.path.isdir(folder / _SAVED):  # false also for what cannot be a path
        return
    try:
        with moving(folder, wait=True):
            _finish(folder, last)
    except OSError as error:
        raise file_error(error, folder / _SAVED) from error


def _finish(folder: Path, last: str) -> None:
    saved = folder / _SAVED
    if not saved.is_dir():
        return
    for path in sorted(saved.iterdir(), key=lambda p: (p.name == last, p.name)):
        target = folder / path.name
        if target.is_dir():  # a rename does not replace a folder that has something in it
            shutil.rmtree(target)
        path.replace(target)
    flush(folder)
    saved.rmdir()
