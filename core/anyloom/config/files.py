"""Files that a config names and does not ship: where they come from, under which licence, whether they are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from anyloom.config.schema import FileSource
from anyloom.errors import CheckpointError, combine
from anyloom.options import validate

__all__ = ["require_files", "used_files"]

_SECTIONS: Final = ("model", "module", "data")


def used_files(sections: Mapping[str, Any]) -> dict[str, FileSource]:
    """The entries of ``files:`` that some option of the model, the module or the data names, by their keys.

    Raises:
        anyloom.errors.ConfigError: An entry has unknown or missing keys.
    """
    declared = sections.get("files") or {}
    entries = {key: validate(FileSource, value, where=f"files.{key}") for key, value in declared.items()}
    named = [Path(text) for section in _SECTIONS for text in _texts(sections.get(section))]
    return {key: entry for key, entry in entries.items() if any(p.is_relative_to(entry.path) for p in named)}


def require_files(sections: Mapping[str, Any]) -> None:
    """Raise one error, a line for each, if files that are used are not there.

    Raises:
        anyloom.errors.CheckpointError: Says how to get them.
    """
    missing = [entry for entry in used_files(sections).values() if not entry.path.exists()]
    if missing:
        raise combine([CheckpointError("this is not there", where=str(e.path), fix=e.get) for e in missing])


def _texts(value: Any) -> Iterator[str]:
    """All strings among nested options."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)
