"""A piece of a file: a member of an archive, a file of a folder, or bytes out of a table, read when it is needed."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.errors import BadRecord, MediaError
from anyloom.media.files import Header, read_media
from anyloom.media.isolated import Isolation, isolation_by_default
from anyloom.storage.content import piece_digest
from anyloom.storage.open_files import read_piece

__all__ = ["MAX_BYTES", "Blob"]

MAX_BYTES = 4 << 30
"""Largest piece that is read."""


@dataclass(frozen=True)
class Blob:
    """Bytes at a place in a file, or bytes at hand. Picklable.

    Args:
        path: The file.
        offset: Where the piece begins.
        size: Its bytes; None for the whole file.
        name: Name inside the file, for errors and for the suffix.
        data: The bytes themselves, where they are not read from a file.

    >>> Blob("a.tar", name="b.TXT", data=b"a red heart").text()
    'a red heart'
    >>> Blob("a.tar", name="b.TXT").suffix
    '.txt'
    """

    path: str
    offset: int = 0
    size: int | None = None
    name: str = ""
    data: bytes | None = field(default=None, repr=False)

    @property
    def where(self) -> str:
        """The file, with the name inside it."""
        return f"{self.path}:{self.name}" if self.name else self.path

    @property
    def suffix(self) -> str:
        """Suffix of the name, lower case with the dot."""
        return Path(self.name or self.path).suffix.lower()

    def read(self, limit: int = MAX_BYTES) -> bytes:
        """Return the bytes.

        Args:
            limit: Most bytes to read.

        Raises:
            anyloom.errors.BadRecord: The file is missing, cut, or the piece is larger than the limit.
        """
        if self.data is not None:
            return self.data
        try:
            if self.size is None:
                with open(self.path, "rb") as file:
                    file.seek(self.offset)
                    found = file.read(limit + 1)
            else:
                if self.size > limit:
                    raise BadRecord("too large", self.where, f"{self.size} bytes; at most {limit} are read")
                found = read_piece(self.path, self.offset, self.size)
        except OSError as error:
            raise BadRecord("missing", self.where, f"cannot be read ({error.strerror or error})") from error
        if len(found) > limit:
            raise BadRecord("too large", self.where, f"more than {limit} bytes")
        if self.size is not None and len(found) < self.size:
            raise BadRecord("truncated", self.where, f"{len(found)} of {self.size} bytes are there")
        return found

    def text(self, limit: int = 64 << 20) -> str:
        """Return the bytes as UTF-8 text.

        Raises:
            anyloom.errors.BadRecord: As for :meth:`read`, or it is not UTF-8.
        """
        try:
            return self.read(limit).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise BadRecord("wrong format", self.where, f"not UTF-8 ({error})") from error

    def media(self, modality: str, suffix: str = "") -> Media:
        """Return a media item that is decoded when its tensor is asked for.

        Args:
            modality: Name of the modality.
            suffix: Of a file of that format, with the dot; that of the name by default.
        """
        if self.data is None and self.size is None:
            return read_media(self.path, modality, lazy=True)
        load = _Load(self, modality, (suffix or self.suffix)[:16], isolation_by_default())
        return Media(modality, loader=load, key=self._key(), meta=Header(load))

    def _key(self) -> str:
        if self.data is not None:
            return f"bytes:{hashlib.sha256(self.data).hexdigest()}"
        return f"file:{Path(self.path).resolve()}:{self.offset}"


@dataclass(frozen=True)
class _Load:
    """Decodes a piece when called: readers open files, so it becomes one for that time."""

    blob: Blob
    modality: str
    suffix: str
    isolation: Isolation | None = None

    @contextlib.contextmanager
    def _media(self) -> Iterator[Media]:
        with tempfile.NamedTemporaryFile(suffix=self.suffix) as file:
            file.write(self.blob.read())
            file.flush()
            try:
                yield read_media(file.name, self.modality, lazy=True, isolation=self.isolation)
            except MediaError as error:
                error.where = self.blob.where  # the temporary file says nothing to anybody
                raise

    def __call__(self) -> Tensor:
        with self._media() as media:
            return media.tensor()

    def content(self) -> str:
        """What it holds and how it is read, for features that are kept on disk."""
        blob = self.blob
        if blob.data is not None:
            return f"{hashlib.sha256(blob.data).hexdigest()} {self.suffix}"
        try:
            return f"{piece_digest(blob.path, blob.offset, blob.size)} {self.suffix}"
        except OSError as error:
            raise BadRecord("missing", blob.where, f"cannot be read ({error.strerror or error})") from error

    def meta(self) -> dict[str, float]:
        with self._media() as media:
            return dict(media.meta)

    def length(self) -> int:
        with self._media() as media:
            return media.length()

    def sample(self, steps: Sequence[int] | None, side: int | None) -> Tensor:
        with self._media() as media:
            return media.sample(steps, side=side)
