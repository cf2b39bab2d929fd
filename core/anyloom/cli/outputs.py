"""Where commands write: tried and locked before the work starts, and never over an earlier result."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anyloom.errors import ConfigError
from anyloom.storage.locking import locked

__all__ = ["free_file", "free_folder", "own_folder", "ready_folder"]


@contextmanager
def own_folder(folder: Path, result: str = "") -> Iterator[Path]:
    """Give a folder that nobody else writes to while the block runs.

    Args:
        folder: Where the user wants the output.
        result: Name of the file that shows that a result is there already: then it is ``folder-001`` and so on.

    Raises:
        anyloom.errors.ConfigError: It cannot be made, or nothing can be written into it.
        anyloom.errors.CheckpointError: Another run writes there.

    >>> with tempfile.TemporaryDirectory() as place, own_folder(Path(place) / "answers") as folder:
    ...     folder.name
    'answers'
    """
    while True:
        chosen = ready_folder(free_folder(folder, result) if result else folder)
        with locked(chosen):
            if result and os.path.exists(chosen / result):
                continue  # a run that has just ended put it there
            yield chosen
            return


def ready_folder(folder: Path, option: str = "--output") -> Path:
    """Make a folder and write into it once, so that nothing is found out after hours of work.

    Args:
        folder: The folder; made with its parents.
        option: What named it, for errors.

    Raises:
        anyloom.errors.ConfigError: It cannot be made, or nothing can be written into it.

    >>> with tempfile.TemporaryDirectory() as place:
    ...     ready_folder(Path(place) / "a" / "b").is_dir()
    True
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as trial:
            trial.write(b"0")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        what = f"nothing can be written into {folder} ({reason})"
        raise ConfigError(what, where=option, fix="give a folder that can be made and written") from error
    return folder


def free_file(folder: Path, stem: str, suffix: str) -> Path:
    """Return the first of ``stem.suffix``, ``stem-001.suffix``, ``stem-002.suffix`` ... that is not there.

    The file is made empty, so that of two runs at once each has its own.

    >>> with tempfile.TemporaryDirectory() as place:
    ...     [free_file(Path(place), "answer", ".png").name for _ in range(2)]
    ['answer.png', 'answer-001.png']
    """
    for number in itertools.count():
        path = folder / f"{stem}{f'-{number:03d}' if number else ''}{suffix}"
        try:
            path.open("x").close()
        except FileExistsError:
            continue
        return path
    raise AssertionError


def free_folder(folder: Path, result: str) -> Path:
    """Return a folder, or the first of ``folder-001``, ``folder-002`` ..., that does not hold a result yet.

    Args:
        folder: Where the user wants the result.
        result: Name of the file that shows that one is there.

    >>> with tempfile.TemporaryDirectory() as place:
    ...     (Path(place) / "result").mkdir()
    ...     _ = (Path(place) / "result" / "results.json").write_text("{}")
    ...     free_folder(Path(place) / "result", "results.json").name
    'result-001'
    """
    names = (folder.with_name(f"{folder.name}-{number:03d}") for number in itertools.count(1))
    return next(path for path in itertools.chain([folder], names) if not os.path.exists(path / result))
