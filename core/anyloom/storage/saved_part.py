"""``weights: FOLDER#decoders.brush``: the tensors of one part, out of the folder of a saved model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from anyloom.errors import CheckpointError, nearest
from anyloom.storage.hashes import listed, sha256
from anyloom.storage.json_text import read_json

__all__ = ["only_part", "part_options", "split_part"]

_MARK = "#"
_MANIFEST = "config.json"
Value = TypeVar("Value")


def split_part(path: Path) -> tuple[Path, str]:
    """The folder of a saved model and the part of it that a path names; the path itself and nothing if it names none.

    >>> split_part(Path("models/hats#decoders.brush"))[1]
    'decoders.brush'
    >>> split_part(Path("models/hats"))[1]
    ''
    """
    name, mark, part = path.name.rpartition(_MARK)
    if not mark or not name or not part or os.path.exists(path):
        return path, ""
    return path.with_name(name), part


def only_part(tensors: Mapping[str, Value], folder: Path, part: str, *, verify: bool = True) -> dict[str, Value]:
    """The tensors of one part, by their names in it.

    Args:
        tensors: Those of the whole model.
        folder: Where they were read; its ``config.json`` must list their file with its SHA-256.
        part: Such as ``decoders.brush``, or ``representations.<modality>``.
        verify: Whether that hash is compared, which reads the whole file.

    Raises:
        anyloom.errors.CheckpointError: The folder is no saved model or was changed, or the model has no such part.

    >>> import json, tempfile
    >>> from safetensors.numpy import save_file
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as place:
    ...     folder, values = Path(place), {"encoders.eye.w": np.zeros(2), "llm.w": np.zeros(3)}
    ...     save_file(values, folder / "model.safetensors")
    ...     files = {"model.safetensors": sha256(folder / "model.safetensors")}
    ...     _ = (folder / "config.json").write_text(json.dumps({"model": {}, "files": files}))
    ...     list(only_part(values, folder, "encoders.eye"))
    ['w']
    """
    files = listed(_record(folder).get("files"), where=str(folder / _MANIFEST), needed=["model.safetensors"])
    if verify and sha256(folder / "model.safetensors") != files["model.safetensors"]:
        what = "the file is not the one that was saved (its SHA-256 differs from config.json)"
        raise CheckpointError(what, where=str(folder / "model.safetensors"), fix="fetch the model again")
    found = {name.removeprefix(f"{part}."): value for name, value in tensors.items() if name.startswith(f"{part}.")}
    if not found:
        parts = sorted({".".join(name.split(".")[:2]) for name in tensors if not name.startswith("llm.")})
        fix = nearest(part, parts) or f"it has {', '.join(parts)}"
        raise CheckpointError(f"the saved model has no tensors of {part!r}", where=str(folder), fix=fix)
    return found


def part_options(folder: Path, part: str) -> dict[str, Any]:
    """The options of one part of a saved model, as its ``config.json`` has them; empty if it has none.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "config.json").write_text('{"model": {"encoders": {"eye": {"size": 32}}}}')
    ...     part_options(Path(folder), "encoders.eye")
    {'size': 32}
    """
    options: Any = _record(folder).get("model")
    for key in part.split("."):
        options = options.get(key) if isinstance(options, dict) else None
    return dict(options) if isinstance(options, dict) else {}


def _record(folder: Path) -> dict[str, Any]:
    file = folder / _MANIFEST
    what = "this is no saved model, of which a part could be taken"
    record: dict[str, Any] = read_json(
        file, what=what, where=folder, fix="give a folder that save_pretrained or training wrote"
    )
    return record
