"""Files that a config names and does not ship: where they come from, under which licence, whether they are there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from anyloom.config.schema import FileSource
from anyloom.errors import CheckpointError, ConfigError, combine
from anyloom.options import validate

__all__ = ["require_files", "require_stages", "used_files"]

_SECTIONS: Final = ("model", "module", "data")


def used_files(sections: Mapping[str, Any]) -> dict[str, FileSource]:
    """The entries of ``files:`` that some option of the model, the module or the data names, by their keys.

    Raises:
        anyloom.errors.ConfigError: An entry has unknown or missing keys.

    >>> files = {"w": {"path": "/data/w", "get": "ask"}}
    >>> list(used_files({"files": files, "model": {"weights": "/data/w/a.safetensors"}}))
    ['w']
    >>> used_files({"files": files, "model": {}})
    {}
    """
    declared = sections.get("files") or {}
    if not isinstance(declared, Mapping):
        raise ConfigError(
            f"expected files by name, got {declared!r}", where="files", fix="write files: {name: {path: ...}}"
        )
    entries = {key: validate(FileSource, value, where=f"files.{key}") for key, value in declared.items()}
    named = [Path(text) for section in _SECTIONS for text in _texts(sections.get(section))]
    return {key: entry for key, entry in entries.items() if any(p.is_relative_to(entry.path) for p in named)}


def require_files(sections: Mapping[str, Any]) -> None:
    """Raise one error, a line for each, if files that are used are not there.

    Raises:
        anyloom.errors.CheckpointError: Says how to get them.

    >>> sections = {"files": {"w": {"path": "/none/w", "get": "make w"}}, "model": {"weights": "/none/w"}}
    >>> try:
    ...     require_files(sections)
    ... except CheckpointError as error:
    ...     print(error)
    /none/w: this is not there. To fix: make w
    """
    missing = [entry for entry in used_files(sections).values() if not os.path.exists(entry.path)]
    if missing:
        raise combine([CheckpointError("this is not there", where=str(e.path), fix=e.get) for e in missing])


def require_stages(
    sections: Mapping[str, Any], stages: Mapping[str, Mapping[str, Any]], command: str, *, stage: str | None = None
) -> None:
    """Raise if the sections read what another stage of their config writes, and it has not been written yet.

    Args:
        sections: What is to be run.
        stages: Composed sections of every stage, by name.
        command: What the user runs, for the error.
        stage: The stage that is to be run, if it is one.

    Raises:
        anyloom.errors.CheckpointError: Says which stages come first.
    """
    module = sections.get("module")
    options: Mapping[str, Any] = module if isinstance(module, Mapping) else {}
    whole = options.get("name", "any-to-any") == "any-to-any"  # other modules build single parts of the model
    named = [Path(text) for text in _texts([options.get("start_from"), sections.get("model") if whole else None])]
    results = {name: Path(s["result"]) for name, s in stages.items() if isinstance(s.get("result"), str)}
    first = [
        name
        for name, result in results.items()
        if name != stage and not os.path.exists(result) and any(path.is_relative_to(result) for path in named)
    ]
    if first:
        what = f"this is trained in stages, and those before have not been run: {', '.join(first)}"
        fix = f"run '{command} --stage all', or one with '--stage {first[0]}'"
        raise CheckpointError(what, where=f"stages.{stage}" if stage else "stages", fix=fix)


def _texts(value: Any) -> Iterator[str]:
    """All strings among nested options."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)
