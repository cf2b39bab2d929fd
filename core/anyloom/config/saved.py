"""Reads ``config.json`` of a saved model's folder. Light: no tensors.

A saved model can stand wherever a config can: it gives its ``model:`` section and starts training from its tensors.
Text values that begin with ``@/`` mean "in this folder".
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from anyloom.errors import CheckpointError

__all__ = ["FORMAT", "check_files", "file_hashes", "is_saved_model", "read_record", "saved_sections"]

FORMAT: Final = 1
_HERE: Final = "@/"


def is_saved_model(folder: Path) -> bool:
    """Whether a folder holds a ``config.json`` with a model section."""
    try:
        return "model" in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def read_record(folder: Path) -> dict[str, Any]:
    """Read ``config.json``, with paths that hold on this machine.

    Raises:
        anyloom.errors.CheckpointError: It is not there, not JSON, or of another format.
    """
    file = folder / "config.json"
    if not file.is_file():
        raise CheckpointError(
            "there is no saved model here", where=str(file), fix="give the folder save_pretrained wrote"
        )
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"not JSON: {error}", where=str(file)) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        given = record.get("format") if isinstance(record, dict) else None
        raise CheckpointError(f"format {given!r} is not {FORMAT}", where=str(file))
    return {**record, "model": _localise(record["model"], folder)}


def saved_sections(folder: Path) -> dict[str, Any]:
    """The sections of a config that trains a saved model further."""
    return {"model": read_record(folder)["model"], "module": {"name": "any-to-any", "start_from": str(folder)}}


def file_hashes(folder: Path, options: Any) -> dict[str, str]:
    """SHA-256 by relative name of a saved model's tensors and of every file that its options name with ``@/``.

    Args:
        folder: The saved model.
        options: The model section as it stands in the file.
    """
    found = [folder / "model.safetensors"]
    for path in _named(options, folder):
        found += [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    return {f.relative_to(folder).as_posix(): _digest(f) for f in sorted(set(found))}


def check_files(folder: Path, hashes: dict[str, str]) -> None:
    """Compare the files of a saved model with the hashes in its config.

    Raises:
        anyloom.errors.CheckpointError: One is missing or has been changed; names it.
    """
    for name, digest in hashes.items():
        file = folder / name
        if not file.is_file():
            raise CheckpointError("a file of the saved model is missing", where=str(file), fix="fetch the model again")
        if _digest(file) != digest:
            raise CheckpointError(
                "the file is not the one that was saved (its SHA-256 differs from config.json)",
                where=str(file),
                fix="fetch the model again, or save it again if the file was changed on purpose",
            )


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _named(value: Any, folder: Path) -> list[Path]:
    """What the options name inside the folder."""
    if isinstance(value, dict):
        return [path for v in value.values() for path in _named(v, folder)]
    if isinstance(value, list):
        return [path for v in value for path in _named(v, folder)]
    return [folder / value[len(_HERE) :]] if isinstance(value, str) and value.startswith(_HERE) else []


def _localise(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {k: _localise(v, folder) for k, v in value.items()}
    if isinstance(value, list):
        return [_localise(v, folder) for v in value]
    return str(folder / value[len(_HERE) :]) if isinstance(value, str) and value.startswith(_HERE) else value
