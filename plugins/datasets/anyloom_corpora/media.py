"""Media of data sets: inside their folder, no larger than allowed, and bad ones named by a reason.

Nothing here opens a connection: what looks like an address is a file name that does not exist.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom.data.sources import Blob
from anyloom.errors import BadRecord, MediaError
from anyloom.media import read_media

__all__ = ["MAX_BYTES", "MediaFolder", "blob_media", "guarded", "of_base64", "soundtrack"]

MAX_BYTES: Final = 1 << 30
"""Largest media file that is read if an option says nothing else."""


@dataclass(frozen=True)
class MediaFolder:
    """A folder that media are read from by the names a data set gives, and that no name leaves.

    Args:
        root: The folder.
        max_bytes: Largest file that is read.
    """

    root: Path
    max_bytes: int = MAX_BYTES

    def path(self, name: str, where: str) -> Path:
        """Return the path of a file, present or not.

        Args:
            name: Relative to the folder, with ``/`` between its parts.
            where: The record's place, for errors.

        Raises:
            anyloom.errors.BadRecord: The name leads out of the folder, also through a link.
        """
        pure = PurePosixPath(name.replace("\\", "/"))
        if not name.strip() or pure.is_absolute() or ".." in pure.parts or "\0" in name or ":" in pure.parts[0]:
            raise BadRecord("bad row", where, f"{name!r} is no name inside {self.root}")
        path = self.root / pure
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise BadRecord("bad row", where, f"{name!r} leads out of {self.root} through a link")
        return path

    def media(self, names: str | Sequence[str], modality: str, where: str) -> Media:
        """Return the first of several files that is there, loaded when it is needed.

        Args:
            names: One name, or several that the file may have.
            modality: What it is.
            where: The record's place, for errors.

        Raises:
            anyloom.errors.BadRecord: No such file is there, it is empty or too large, or its header is broken.
        """
        names = [names] if isinstance(names, str) else names
        paths = [self.path(name, where) for name in names]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise BadRecord("missing", where, f"there is no file {' or '.join(map(str, names))}")
        size = path.stat().st_size
        if size > self.max_bytes:
            raise BadRecord("too large", where, f"{path.name} has {size} bytes; at most {self.max_bytes} are read")
        if size == 0:
            raise BadRecord("truncated", where, f"{path.name} is empty")
        try:
            return guarded(read_media(path, modality, lazy=True), where)
        except MediaError as error:
            raise _bad(error, where) from error


def blob_media(blob: Blob, modality: str, where: str, *, suffix: str = "", max_bytes: int = MAX_BYTES) -> Media:
    """Return the media item in a piece of a file or a cell of a table, loaded when it is needed.

    Args:
        blob: The piece.
        modality: What it is.
        where: The record's place, for errors.
        suffix: What a file of that format is called, with the dot; that of the blob's name by default.
        max_bytes: Largest piece that is read.

    Raises:
        anyloom.errors.BadRecord: It is empty, too large, cut, or its header is broken.
    """
    size = blob.size if blob.data is None else len(blob.data)
    if size is not None and size > max_bytes:
        raise BadRecord("too large", where, f"{size} bytes; at most {max_bytes} are read")
    if size == 0:
        raise BadRecord("truncated", where, "the file is empty")
    try:
        return guarded(blob.media(modality, suffix), where)
    except MediaError as error:
        raise _bad(error, where) from error


def of_base64(text: str, modality: str, where: str, *, suffix: str = "", max_bytes: int = MAX_BYTES) -> Media:
    """Return the media item that base64 text holds, in either alphabet, with or without padding.

    Raises:
        anyloom.errors.BadRecord: It is no base64, too large, or its header is broken.
    """
    if len(text) > max_bytes * 4 // 3 + 4:
        raise BadRecord("too large", where, f"{len(text)} characters of base64")
    plain = "".join(text.split()).rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        content = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRecord("wrong format", where, f"no base64 ({error})") from error
    return blob_media(Blob(where, data=content), modality, where, suffix=suffix, max_bytes=max_bytes)


def guarded(media: Media, where: str) -> Media:
    """Return the media item with a loader that names what is bad about it: damaged, NaN, or a silent sound."""
    return replace(media, data=None, loader=_Guarded(media, where))


@dataclass(frozen=True)
class _Guarded:
    media: Media
    where: str

    def __call__(self) -> Tensor:
        return self._checked(self.media.tensor)

    def length(self) -> int:
        """Steps of the first axis, such as frames."""
        try:
            return self.media.length()
        except MediaError as error:
            raise _bad(error, self.where) from error

    def sample(self, steps: Sequence[int] | None, side: int | None) -> Tensor:
        """A part of the tensor, such as some frames."""
        return self._checked(lambda: self.media.sample(steps, side=side))

    def _checked(self, load: Callable[[], Tensor]) -> Tensor:
        try:
            data = load()
        except MediaError as error:
            raise _bad(error, self.where) from error
        if data.is_floating_point() and not bool(torch.isfinite(data).all()):
            raise BadRecord("NaN", self.where, "it holds NaN or infinite values")
        if self.media.modality == "audio" and not bool(data.any()):
            raise BadRecord("silent", self.where, "the sound is silent")
        return data


def soundtrack(video: Media, where: str) -> Media:
    """Return the sound of a clip's file, mono at its own rate, loaded when it is needed.

    Raises:
        anyloom.errors.BadRecord: The clip has no file.
    """
    try:
        return guarded(read_media(video.path, "audio", lazy=True), where)
    except MediaError as error:
        raise _bad(error, where) from error


def _bad(error: MediaError, where: str) -> BadRecord:
    """Return the reason for which a file was refused as a bad record."""
    return BadRecord(error.reason or "wrong format", where, error.what)
