"""Reads ``config.json`` of a saved model's folder. Light: no tensors.

A saved model can stand wherever a config can: it gives its ``model:`` section and starts training from its tensors.
Text values that begin with ``@/`` are relative to the folder. They stay inside it, but for the options of a part that
was left out of the model because its weights are in files of their own (``references`` names those with their SHA-256).
What is read here may come from a stranger: it names no code unless who loads it says so.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from anyloom.config.trust import require_names
from anyloom.errors import CheckpointError
from anyloom.limits import limit
from anyloom.storage.folder import finish
from anyloom.storage.hashes import inside, listed
from anyloom.storage.json_text import read_json
from anyloom.storage.saved_part import split_part

__all__ = ["FORMAT", "MANIFEST", "is_saved_model", "named_paths", "read_record", "saved_sections"]

FORMAT: Final = 2
MANIFEST: Final = "config.json"
_HERE: Final = "@/"
_DEPTH: Final = {"llm": 1, "encoders": 2, "decoders": 2, "modalities": 3}


def is_saved_model(folder: Path) -> bool:
    """Whether a folder holds a ``config.json`` with a model section.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     is_saved_model(Path(folder))
    ...     _ = (Path(folder) / "config.json").write_text('{"model": {}}')
    ...     is_saved_model(Path(folder))
    False
    True
    """
    try:
        finish(folder)
        return "model" in read_json(folder / MANIFEST)
    except (OSError, CheckpointError):
        return False


def read_record(folder: Path, *, trust: bool = False) -> dict[str, Any]:
    """Read ``config.json``, with paths that hold on this machine.

    Options that would let a part fetch files are switched off: what a model needs is in its folder.

    Args:
        folder: The saved model.
        trust: Let its model section name classes to import.

    Returns:
        ``model``: the model section. ``files``: SHA-256 by name. ``paths``: files and folders that its options name.
        ``references``: by the key of a part that was left out, SHA-256 by the path of each of its files.

    Raises:
        anyloom.errors.CheckpointError: It is not there, not JSON, of another format, lists no files, names one
            outside the folder, or names code and is not trusted.
    """
    file = folder / MANIFEST
    finish(folder)
    record = _read(file)
    if record.get("format") != FORMAT:
        raise CheckpointError(f"format {record.get('format')!r} is not {FORMAT}", where=str(file))
    if not trust:
        fix = "if you trust its code, say trust=True in Python or --trust on the command line"
        require_names(record.get("model"), f"{file}: model", error=CheckpointError, fix=fix)
    files = listed(record.get("files"), where=str(file), needed=["model.safetensors"])
    references = _mapping(record.get("references") or {}, "references", file)
    paths = _Paths(folder, record.get("saved_at"), tuple(references))
    model = {key: paths.localised(value, (key,)) for key, value in _mapping(record.get("model"), "model", file).items()}
    located = {
        key: {paths.referred(name): digest for name, digest in _mapping(hashes, f"references.{key}", file).items()}
        for key, hashes in references.items()
    }
    named = named_paths(record["model"], folder)
    return {**record, "model": model, "files": files, "paths": named, "references": located}


def saved_sections(folder: Path, *, trust: bool = False) -> dict[str, Any]:
    """The sections of a config that trains a saved model further; see :func:`read_record`."""
    model = _literal(read_record(folder, trust=trust)["model"])
    return {"model": model, "module": {"name": "any-to-any", "start_from": str(folder)}}


def _literal(value: Any) -> Any:
    """Values whose texts stay what they are in a config: a saved model has no expressions, and may not add any."""
    if isinstance(value, dict):
        return {k: _literal(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_literal(v) for v in value]
    return value.replace("${", "\\${") if isinstance(value, str) else value


def named_paths(options: Any, folder: Path) -> list[Path]:
    """What the options of a saved model, as they stand in the file, name inside its folder.

    >>> [p.as_posix() for p in named_paths({"tokenizer": "@/llm", "size": 4}, Path("saved"))]
    ['saved/llm']
    """
    if isinstance(options, Mapping):
        return [path for v in options.values() for path in named_paths(v, folder)]
    if isinstance(options, list):
        return [path for v in options for path in named_paths(v, folder)]
    named = options[len(_HERE) :] if isinstance(options, str) and options.startswith(_HERE) else ""
    return [folder / named] if inside(named) else []


class _Paths:
    """Makes the paths of a saved model's options those of this machine.

    Args:
        folder: Where the model is.
        saved_at: Where it was saved; a reference that is not at the same place relative to the folder is looked for
            relative to that.
        referring: Keys of parts that were left out of the model.
    """

    def __init__(self, folder: Path, saved_at: Any, referring: tuple[str, ...]) -> None:
        self.folder, self.referring = folder, referring
        self.saved_at = Path(saved_at) if isinstance(saved_at, str) else folder

    def localised(self, value: Any, key: tuple[str, ...]) -> Any:
        """A value with its paths; of a component's own options, none may leave the folder."""
        if isinstance(value, Mapping):
            return {k: self.localised(v, (*key, str(k))) for k, v in value.items()}
        if isinstance(value, list):
            return [self.localised(v, key) for v in value]
        if key[-1] == "download" and value is True:
            return False
        if not isinstance(value, str):
            return value
        refers = any(".".join(key).startswith(f"{part}.") for part in self.referring)
        if value.startswith(_HERE):
            name = value[len(_HERE) :]
            if inside(name):
                return str(self.folder / name)
            return str(self.referred(name)) if refers else self._refuse(value, key)
        own_option = len(key) == _DEPTH.get(key[0], 0) + 1
        return self._refuse(value, key) if own_option and not refers and _leaves(value) else value

    def referred(self, name: str) -> Path:
        """The place of a file that a reference names relative to the folder, or by its full path."""
        bases = [self.folder.resolve(), self.saved_at]
        candidates = [Path(os.path.normpath(base / name)) for base in bases]  # what is absolute stays as it is
        return next((path for path in candidates if os.path.exists(split_part(path)[0])), candidates[0])

    def _refuse(self, value: str, key: tuple[str, ...]) -> Any:
        raise CheckpointError(
            f"model.{'.'.join(key)} names a file outside the saved model ({value!r})",
            where=str(self.folder / MANIFEST),
            fix="save the model again with the version of anyloom that is installed",
        )


def _leaves(text: str) -> bool:
    """Whether an option's text is a path that is absolute or goes up. A template of several lines is none."""
    path = PurePosixPath(text)
    return "\n" not in text and (path.is_absolute() or ".." in path.parts)


def _read(file: Path) -> dict[str, Any]:
    if not os.path.isfile(file):
        raise CheckpointError(
            "there is no saved model here", where=str(file), fix="give the folder save_pretrained wrote"
        )
    record = read_json(file, what="not JSON", fix="fetch the model again", kind=object)
    if _is_deeper(record, limit("config-depth")):
        raise CheckpointError("not JSON (nested too deeply)", where=str(file), fix="fetch the model again")
    return _mapping(record, "the file", file)


def _is_deeper(value: Any, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(one, levels - 1) for one in inner)


def _mapping(value: Any, what: str, file: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CheckpointError(f"{what} should be a mapping, got {type(value).__name__}", where=str(file))
    return value
