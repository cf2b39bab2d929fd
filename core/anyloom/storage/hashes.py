"""SHA-256 of files, and lists of them: what a saved folder must hold, byte for byte."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from anyloom.errors import CheckpointError

__all__ = ["inside", "listed", "manifest", "sha256", "verify"]

_HEX = re.compile(r"[0-9a-f]{64}")
_LONGEST = 255  # bytes of a name in the file systems there are


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file.

    Raises:
        anyloom.errors.CheckpointError: It cannot be read.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "abc"
    >>> _ = file.write_bytes(b"abc")  # the example of FIPS 180-2, B.1
    >>> sha256(file)
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"cannot be read ({error.strerror or error})", where=str(path)) from error


def inside(name: str) -> bool:
    """Whether a name given in a file can be one of a file, and stays below the folder it is relative to.

    >>> [inside(n) for n in ("a/b.json", "../b.json", "/etc/passwd", "a/../../b", "")]
    [True, False, False, False, False]
    """
    path = PurePosixPath(name)
    try:
        named = "\0" not in name and all(len(part.encode()) <= _LONGEST for part in path.parts)
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return named and bool(path.parts) and not path.is_absolute() and ".." not in path.parts and len(name) < 4000


def manifest(folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 by name relative to ``folder`` of files, and of everything in folders, among ``paths``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.txt").write_text("abc")
    ...     manifest(Path(folder), [Path(folder) / "a.txt"])["a.txt"][:16]
    'ba7816bf8f01cfea'
    """
    return {name: sha256(folder / name) for name in _names(folder, paths)}


def listed(value: Any, *, where: str, needed: Iterable[str] = ()) -> dict[str, str]:
    """Check a list of hashes that was read from a file.

    Args:
        value: What stood there.
        where: The file, for the error.
        needed: Names it must have.

    Raises:
        anyloom.errors.CheckpointError: It is no mapping of names below the folder to SHA-256, or lacks a name.

    >>> listed({"model.safetensors": "0" * 64}, where="config.json")["model.safetensors"][:4]
    '0000'
    >>> try:
    ...     listed({"../model.safetensors": "0" * 64}, where="config.json")
    ... except CheckpointError as error:
    ...     print(error.where)
    config.json
    """
    fix = "fetch the model again, or save it again with this version"
    if not isinstance(value, Mapping) or not value:
        raise CheckpointError("it does not list its files with their SHA-256", where=where, fix=fix)
    for name, digest in value.items():
        if not inside(str(name)):
            raise CheckpointError(f"it lists {name!r}, which is not in its folder", where=where, fix=fix)
        if not isinstance(digest, str) or _HEX.fullmatch(digest) is None:
            raise CheckpointError(f"the SHA-256 of {name!r} is {digest!r}", where=where, fix=fix)
    for name in needed:
        if name not in value:
            raise CheckpointError(f"it does not list {name!r} with its SHA-256", where=where, fix=fix)
    return dict(value)


def verify(folder: Path, hashes: Mapping[str, str], paths: Iterable[Path] = ()) -> None:
    """Compare files with their hashes.

    Args:
        folder: What the names are relative to.
        hashes: SHA-256 by name.
        paths: Files, and folders with everything in them, that will be read: all must be among the names.

    Raises:
        anyloom.errors.CheckpointError: One is missing, changed or not listed; names it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.txt").write_text("abc")
    ...     hashes = manifest(Path(folder), [Path(folder)])
    ...     verify(Path(folder), hashes)
    ...     _ = (Path(folder) / "a.txt").write_text("abd")
    ...     try:
    ...         verify(Path(folder), hashes)
    ...     except CheckpointError as error:
    ...         print(error.what)
    the file is not the one that was saved (its SHA-256 differs from config.json)
    """
    for name, digest in hashes.items():
        file = folder / name
        if not file.is_file():
            raise CheckpointError("a file of the saved model is missing", where=str(file), fix="fetch the model again")
        if sha256(file) != digest:
            raise CheckpointError(
                "the file is not the one that was saved (its SHA-256 differs from config.json)",
                where=str(file),
                fix="fetch the model again, or save it again if the file was changed on purpose",
            )
    for name in _names(folder, paths):
        if name not in hashes:
            raise CheckpointError(
                "the file was not saved with the model (config.json does not list it)",
                where=str(folder / name),
                fix="delete it, or fetch the model again",
            )


def _names(folder: Path, paths: Iterable[Path]) -> list[str]:
    files: list[Path] = []
    for path in paths:
        files += [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]
    return sorted({f.relative_to(folder).as_posix() for f in files})
