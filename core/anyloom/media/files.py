"""Media files: which modality reads a file, loading it when it is needed, writing it."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from anyloom.building import component_class
from anyloom.conversation.segments import Media
from anyloom.discovery import get_registry
from anyloom.errors import MediaError

if TYPE_CHECKING:
    from anyloom.interfaces.modality import ModalityIO

__all__ = ["io_for", "read_media", "write_media"]


@functools.cache
def io_for(modality: str) -> ModalityIO:
    """Return the reader and writer of a modality.

    Raises:
        anyloom.errors.UnknownNameError: No installed plugin provides the modality.
    """
    cls = component_class("modality", modality)
    io: ModalityIO = cls(cls.Config())
    return io


def _modality_of(path: Path) -> str:
    registry = get_registry()
    usable = [spec.name for spec in registry.components("modality") if registry.status(spec) == "ok"]
    table = {suffix: name for name in usable for suffix in io_for(name).suffixes}
    if path.suffix.lower() not in table:
        raise MediaError(
            f"no installed modality reads {path.suffix or 'files without a suffix'}",
            where=str(path),
            fix=f"use one of {', '.join(sorted(table))}, or name the modality",
        )
    return table[path.suffix.lower()]


@dataclass(frozen=True)
class _Load:
    """Reads the file when called; picklable."""

    modality: str
    path: str

    def __call__(self) -> Tensor:
        return io_for(self.modality).read(Path(self.path)).tensor()


def read_media(path: str | Path, modality: str | None = None, *, lazy: bool = False) -> Media:
    """Read a media file.

    Args:
        path: The file.
        modality: Its modality; by default the suffix tells.
        lazy: Decode the file only when the tensor is asked for; what its header says is read at once.

    Raises:
        anyloom.errors.MediaError: The file is missing, broken or of no known modality.
    """
    path = Path(path)
    modality = modality or _modality_of(path)
    if not path.is_file():
        raise MediaError("there is no such file", where=str(path), fix="check the path")
    if lazy:
        meta = io_for(modality).read_meta(path)
        loader, key = _Load(modality, str(path)), f"file:{path.resolve()}"
        return Media(modality, loader=loader, path=str(path), key=key, meta=meta)
    return replace(io_for(modality).read(path), path=str(path))


def write_media(media: Media, path: str | Path) -> Path:
    """Write a media item to a file; without a suffix, the modality's own is added. Returns the path."""
    io, path = io_for(media.modality), Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return io.write(media, path if path.suffix else path.with_suffix(io.suffixes[0]))
