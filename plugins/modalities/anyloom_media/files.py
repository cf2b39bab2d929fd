"""What reading and showing have in common for every kind of media file."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from anyloom.errors import MediaError

__all__ = ["data_uri", "limit", "opened", "require_suffix", "unreadable"]

_SHOWN: Final = 300
_CUT: Final = (
    "truncated",
    "premature",
    "unexpected end",
    "end of file",
    "end of stream",
    " are there",
    " is cut",
    "is missing",
)
"""How libraries, and this package, say that a file ends too early."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read. Libraries get the open file, never its path: a path could name a protocol or a device.

    Raises:
        anyloom.errors.MediaError: It is missing, no regular file, empty, or may not be read.
    """
    try:
        found, folder, size = path.is_file(), path.is_dir(), path.stat().st_size if path.exists() else 0
        if not found:
            what = "this is a folder, not a file" if folder else "there is no such file"
            raise MediaError(what, where=str(path), fix="check the path", reason="missing")
        if size == 0:
            fix = "fetch or write it again"
            raise MediaError("the file is empty", where=str(path), fix=fix, reason="truncated")
        file = path.open("rb")
    except (OSError, ValueError) as error:
        raise MediaError(f"cannot be opened ({error})", where=str(path)[:_SHOWN], fix="check the path") from error
    with file:
        yield file


def limit(path: Path, what: str, value: float, most: float, option: str) -> None:
    """Check a size that a header gives against a limit, before the memory for it is taken.

    Raises:
        anyloom.errors.MediaError: It is greater.

    >>> limit(Path("a.wav"), "channels", 2, 64, "max_channels")
    >>> try:
    ...     limit(Path("a.wav"), "channels", 99, 64, "max_channels")
    ... except MediaError as error:
    ...     print(error.what)
    99 channels are more than the limit of 64
    """
    if value > most:
        raise MediaError(
            f"{value:,.10g} {what} are more than the limit of {most:,.10g}",
            where=str(path),
            fix=f"make it smaller, or read it with the option {option} set higher",
            reason="too large",
        )


def require_suffix(path: Path, suffixes: tuple[str, ...], modality: str) -> str:
    """Return the lower-case suffix of a file to write.

    Raises:
        anyloom.errors.MediaError: The suffix names no format that can be written.

    >>> require_suffix(Path("A.PNG"), (".png", ".jpg"), "image")
    '.png'
    """
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        what = f"cannot write {modality} to {suffix!r} files" if suffix else "the file name has no suffix"
        raise MediaError(what, where=str(path), fix=f"use one of {', '.join(suffixes)}")
    return suffix


def unreadable(path: Path, modality: str, cause: object) -> MediaError:
    """Return the error for a file whose content is truncated, damaged or of another kind than its name says.

    >>> error = unreadable(Path("a.png"), "image", "unexpected end of file")
    >>> error.reason
    'truncated'
    """
    reason = " ".join(str(cause).replace(str(path), path.name).split()) or type(cause).__name__
    return MediaError(
        f"not a readable {modality} file: {reason[:_SHOWN]}",
        where=str(path),
        fix=f"the file is truncated, damaged or no {modality} file at all: fetch or write it again",
        reason="truncated" if any(word in reason.lower() for word in _CUT) else "wrong format",
    )


def data_uri(kind: str, content: bytes) -> str:
    """Return bytes as a data URI.

    >>> data_uri("text/plain", b"hi")
    'data:text/plain;base64,aGk='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
