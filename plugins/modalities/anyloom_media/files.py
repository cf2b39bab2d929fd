"""What reading and showing have in common for every kind of media file."""

from __future__ import annotations

import base64
from pathlib import Path

from anyloom.errors import MediaError

__all__ = ["data_uri", "require_file", "require_suffix", "unreadable"]


def require_file(path: Path) -> None:
    """Check that a file is there and holds something.

    Raises:
        anyloom.errors.MediaError: It is missing, a folder, or empty.
    """
    if not path.is_file():
        what = "this is a folder, not a file" if path.is_dir() else "there is no such file"
        raise MediaError(what, where=str(path), fix="check the path")
    if path.stat().st_size == 0:
        raise MediaError("the file is empty", where=str(path), fix="fetch or write it again")


def require_suffix(path: Path, suffixes: tuple[str, ...], modality: str) -> str:
    """Return the lower-case suffix of a file to write.

    Raises:
        anyloom.errors.MediaError: The suffix names no format that can be written.
    """
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        what = f"cannot write {modality} to {suffix!r} files" if suffix else "the file name has no suffix"
        raise MediaError(what, where=str(path), fix=f"use one of {', '.join(suffixes)}")
    return suffix


def unreadable(path: Path, modality: str, cause: object) -> MediaError:
    """Return the error for a file whose content is truncated, damaged or of another kind than its name says."""
    reason = str(cause).replace(str(path), path.name) or type(cause).__name__
    return MediaError(
        f"not a readable {modality} file: {reason}",
        where=str(path),
        fix=f"the file is truncated, damaged or no {modality} file at all: fetch or write it again",
    )


def data_uri(kind: str, content: bytes) -> str:
    """Return bytes as a data URI.

    >>> data_uri("text/plain", b"hi")
    'data:text/plain;base64,aGk='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
