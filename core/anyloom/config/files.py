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
    return {key: entry for key, entry in entries.items() if _naming(sections, entry.path)}


def require_files(sections: Mapping[str, Any]) -> None:
    """Raise one error, a line for each, if files that are used are not there.

    Raises:
        anyloom.errors.CheckpointError: Says how to get them.

    >>> sections = {"files": {"w": {"path": "/none/w", "get": "make w"}}, "model": {"weights": "/none/w"}}
    >>> try:
    ...     require_files(sections)
    ... except CheckpointError as error:
    ...     print(error)
    /none/w: this is not there; model.weights reads it. To fix: make w
    """
    missing = [entry for entry in used_files(sections).values() if not os.path.exists(entry.path)]
    if missing:
        raise combine([_missing(entry, _naming(sections, entry.path)) for entry in missing])


def _missing(entry: FileSource, key: str) -> CheckpointError:
    return CheckpointError(f"this is not there; {key} reads it", where=str(entry.path), fix=entry.get)


def _naming(sections: Mapping[str, Any], path: Path) -> str:
    """The first option that names a path, something below it or a part of it (``path#part``); empty if none does."""
    for section in _SECTIONS:
        for key, text in _options(sections.get(section), section):
            if Path(text.partition("#")[0]).is_relative_to(path):
                return key
    return ""


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
    return (text for _, text in _options(value, ""))


def _options(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """All strings among nested options, each with its dotted key; those of a list have the key of the list."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _options(inner, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _options(inner, key)
