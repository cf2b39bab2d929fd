"""Media files: loading one when it is needed, writing one whole or not at all."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from anyloom.building import import_class
from anyloom.conversation.segments import Media
from anyloom.discovery import get_registry
from anyloom.errors import AnyloomError, MediaError
from anyloom.media.claims import modality_of
from anyloom.media.isolated import Isolation, ask, isolation_by_default
from anyloom.options import checked_path, validate
from anyloom.storage.content import piece_digest

if TYPE_CHECKING:
    from anyloom.interfaces.modality import ModalityIO

__all__ = ["Header", "io_for", "note_of", "read_media", "write_media"]


def io_for(modality: str, options: Mapping[str, Any] | None = None) -> ModalityIO:
    """Return the reader and writer of a modality.

    Args:
        modality: Its registered name. A class path is refused: the name may come out of data, and data import nothing.
        options: Options of its ``Config``, such as limits.

    Raises:
        anyloom.errors.UnknownNameError: No installed plugin provides the modality.
        anyloom.errors.PluginError: Its plugin is broken, or lacks something it requires.
        anyloom.errors.ConfigError: An option is unknown or wrong.
    """
    return _io(modality, json.dumps(dict(options or {}), sort_keys=True, default=str))


@functools.cache
def _io(modality: str, options: str) -> ModalityIO:
    spec = get_registry().find("modality", modality)
    label = f"modality {modality!r} of {spec.package} {spec.version}"
    cls = import_class(spec.target, "modality", label=label)
    io: ModalityIO = cls(validate(cls.Config, json.loads(options), where=f"modality {modality!r}"))
    return io


@dataclass(frozen=True)
class _File:
    """A media file that is read when it is asked for; picklable."""

    modality: str
    path: str
    options: Mapping[str, Any] = field(default_factory=dict)
    isolation: Isolation | None = None

    @property
    def _io(self) -> ModalityIO:
        return io_for(self.modality, self.options)

    def _ask(self, do: str, **more: Any) -> tuple[Mapping[str, Any], Tensor | None]:
        assert self.isolation is not None, "only files that are read in another process ask it"
        path = os.path.abspath(self.path)  # the other process may be in another folder
        return ask(do, self.modality, path, self.isolation, options=dict(self.options), **more)

    def read(self) -> Media:
        if self.isolation is None:
            return replace(self._io.read(Path(self.path)), path=self.path)
        head, data = self._ask("read")
        return Media(self.modality, data, path=self.path, key=head["key"], meta=head["meta"])

    def __call__(self) -> Tensor:
        return self.read().tensor()

    def meta(self) -> Mapping[str, float]:
        if self.isolation is None:
            return self._io.read_meta(Path(self.path))
        return dict(self._ask("meta")[0]["meta"])

    def content(self) -> str:
        """What it holds and how it is read, for features that are kept on disk."""
        try:
            return f"{piece_digest(self.path)} {json.dumps(dict(self.options), sort_keys=True, default=str)}"
        except OSError as error:
            raise MediaError(f"cannot be read ({error.strerror or error})", where=self.path) from error

    def length(self) -> int:
        if self.isolation is None:
            return self._io.length(Path(self.path))
        return int(self._ask("length")[0]["length"])

    def sample(self, steps: Sequence[int] | None, side: int | None) -> Tensor:
        if self.isolation is None:
            return self._io.sample(Path(self.path), steps, side)
        listed = None if steps is None else [int(step) for step in steps]
        _, data = self._ask("sample", steps=listed, side=side)
        assert data is not None, "an answer without an error brings what was asked for"
        return data


class _TellsMeta(Protocol):
    def meta(self) -> Mapping[str, float]: ...


@dataclass(frozen=True, eq=False)
class Header(Mapping[str, float]):
    """What the header of a file says, read at the first look, so that opening a large data set opens no media.

    Args:
        source: Reads it; picklable.
    """

    source: _TellsMeta

    @functools.cached_property
    def _read(self) -> Mapping[str, float]:
        return self.source.meta()

    def __getitem__(self, key: str) -> float:
        return self._read[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


def read_media(
    path: str | Path,
    modality: str | None = None,
    *,
    lazy: bool = False,
    options: Mapping[str, Any] | None = None,
    isolation: Isolation | None = None,
) -> Media:
    """Read a media file.

    Args:
        path: The file.
        modality: Name of its modality; by default the suffix tells, and where nobody claims it, the first bytes.
        lazy: Open the file only when something of it is asked for.
        options: Options of the modality, such as its limits (``{"max_pixels": 1_000_000}``).
        isolation: Read in a process of its own with these limits of time and memory: for files that come from anybody,
            as a decoder may hang or crash. It costs the start of a process, once, and a copy.

    Raises:
        anyloom.errors.MediaError: The file is missing, broken, larger than the limits or of no known modality.
        anyloom.errors.PluginError: The modality lacks something that can be installed.
    """
    path = checked_path(path, error=MediaError)
    if not isinstance(modality, str | None):
        raise MediaError(
            f"a modality is called by its name, got {modality!r:.40}",
            fix="give a text, such as one of 'anyloom plugins --kind modality'",
        )
    if os.path.isdir(path):
        raise MediaError("this is a folder, not a file", where=str(path), fix="check the path", reason="missing")
    modality = modality or modality_of(path)
    get_registry().find("modality", modality)  # a name that nobody has, or what it lacks, is said before the file
    try:
        found = path.is_file()
    except OSError as error:  # such as a name that is too long
        raise MediaError(f"this cannot be the path of a file ({error.strerror})", where=str(path)[:200]) from error
    if not found:
        raise MediaError("there is no such file", where=str(path), fix="check the path", reason="missing")
    file = _File(modality, str(path), dict(options or {}), isolation or isolation_by_default())
    if lazy:
        return Media(modality, loader=file, path=str(path), key=f"file:{path.resolve()}", meta=Header(file))
    return file.read()


def write_media(media: Media, path: str | Path) -> Path:
    """Write a media item to a file; a file there is replaced only when the new one is whole.

    Args:
        media: What to write.
        path: The file; its suffix chooses the format. Without one, the modality's own is added.

    Returns:
        The path.

    Raises:
        anyloom.errors.MediaError: The media cannot be written in that format, or the place cannot be written to.
    """
    if not isinstance(media, Media):
        raise MediaError(f"expected media, got {type(media).__name__}", fix="give an anyloom.Media")
    io, path = io_for(media.modality), checked_path(path, error=MediaError)
    try:
        if not path.name or path.is_dir():
            raise MediaError("this is a folder, not a file", where=str(path), fix="add the name of a file")
        path = path if path.suffix else path.with_name(path.name + io.suffixes[0])
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(io, media, path)
    except OSError as error:
        what = f"cannot be written ({error.strerror or error})"
        raise MediaError(what, where=str(path), fix="check the place, and the space that is left") from error
    return path


def note_of(path: str | Path) -> str:
    """Return what a media file says about what made it (:attr:`Media.note`); empty if it says nothing.

    Args:
        path: A media file. What it says may come from anybody.

    Raises:
        anyloom.errors.MediaError: The file is missing or of no known modality.
    """
    path = checked_path(path, error=MediaError)
    modality, isolation = modality_of(path), isolation_by_default()
    if isolation is None:
        return io_for(modality).note(path)
    return str(ask("note", modality, os.path.abspath(path), isolation)[0]["note"])


def _write_whole(io: ModalityIO, media: Media, path: Path) -> None:
    """Write beside the file, then take its place."""
    partial = path.with_name(f".{path.stem[:100]}.{os.getpid()}.partial{path.suffix}")
    try:
        io.write(media, partial)
        partial.replace(path)
    except AnyloomError as error:
        error.where = error.where.replace(str(partial), str(path))
        raise
    finally:
        partial.unlink(missing_ok=True)
