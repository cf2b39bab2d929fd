"""Folders of weights that are pickled: nothing here opens such a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from anyloom.errors import CheckpointError

__all__ = ["refuse_pickled"]

_SUFFIXES: Final = ("bin", "ckpt", "pth")


def refuse_pickled(folder: Path) -> None:
    """Refuse a folder that has pickled weights and none as safetensors.

    Raises:
        anyloom.errors.CheckpointError: It is such a folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "weights.bin").write_bytes(b"")
    ...     try:
    ...         refuse_pickled(Path(folder))
    ...     except CheckpointError as error:
    ...         print(error.what)
    the weights are pickled (weights.bin), which may run code when opened
    """
    if any(folder.glob("*.safetensors")):
        return
    if pickled := sorted(file.name for suffix in _SUFFIXES for file in folder.glob(f"*.{suffix}")):
        raise CheckpointError(
            f"the weights are pickled ({pickled[0]}), which may run code when opened",
            where=str(folder),
            fix=f"write them as safetensors first: anyloom to-safetensors {folder}",
        )
