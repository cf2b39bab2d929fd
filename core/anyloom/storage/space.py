"""Whether something can be written to a place, asked before the work that ends there is begun."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from anyloom.errors import CheckpointError
from anyloom.storage.atomic import file_error

__all__ = ["require_room"]


def require_room(folder: Path, size: int = 0) -> None:
    """Try to write into a folder, or into the nearest that exists above it, and look for room there.

    Args:
        folder: Where something will be written; it is not made.
        size: Bytes it will take.

    Raises:
        anyloom.errors.CheckpointError: Nothing may be written there, or there is less room than ``size``.

    >>> require_room(Path(tempfile.gettempdir()) / "new")
    """
    nearest = folder.absolute()
    while not nearest.exists():
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(b"\0")
        free = shutil.disk_usage(nearest).free
    except OSError as error:
        raise file_error(error, folder) from error
    if free < size:
        raise CheckpointError(
            f"{_gigabytes(size)} are needed here, {_gigabytes(free)} are free",
            where=str(folder),
            fix="make room on that disk, or write elsewhere",
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
