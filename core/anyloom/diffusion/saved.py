"""Folders of trained decoders: ``model.safetensors``, and ``config.json`` with the options they were trained with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from anyloom.errors import CheckpointError
from anyloom.storage.folder import replacing_folder
from anyloom.storage.json_text import read_json
from anyloom.storage.saved_part import part_options, split_part
from anyloom.storage.tensors import read_tensors, write_tensors

__all__ = ["Saved", "check_options", "read_saved", "write_saved"]


@dataclass(frozen=True)
class Saved:
    """A folder's content.

    Args:
        tensors: By name.
        options: What ``config.json`` holds; empty if there is none.

    >>> import torch
    >>> Saved({"w": torch.ones(2)}, {}).tensors["w"]
    tensor([1., 1.])
    """

    tensors: dict[str, Tensor]
    options: dict[str, Any]


def write_saved(tensors: Mapping[str, Tensor], options: Mapping[str, Any], folder: str | Path) -> None:
    """Write tensors and options into a folder, making it; both replace what was there together.

    >>> import tempfile, torch
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_saved({"w": torch.ones(2)}, {"size": 4}, folder)
    ...     read_saved(folder).options
    {'size': 4}
    """
    with replacing_folder(Path(folder)) as draft:
        write_tensors(tensors, draft / "model.safetensors")
        (draft / "config.json").write_text(json.dumps(options, indent=2) + "\n")


def read_saved(folder: str | Path) -> Saved:
    """Read a folder that :func:`write_saved` wrote, or ``FOLDER#decoders.name`` of a saved model.

    Raises:
        anyloom.errors.CheckpointError: The folder is missing or a file of it is broken.
    """
    file = Path(folder) / "config.json"
    tensors = read_tensors(Path(folder))
    whole, part = split_part(Path(folder))
    if part:
        return Saved(tensors, part_options(whole, part))
    options = read_json(file, what="the file holds no options", fix="write it again") if file.exists() else {}
    return Saved(tensors, options)


def check_options(
    there: Mapping[str, Any], here: Mapping[str, Any], *, fixed: Sequence[str], changeable: Sequence[str], where: str
) -> None:
    """Refuse weights whose meaning differs in what tensor shapes do not show.

    Args:
        there: Nested options that the weights were trained with.
        here: Nested options that they are loaded into.
        fixed: Options that must agree, as dotted prefixes ...
        changeable: ... and the exceptions from them.
        where: Place for the error.

    Raises:
        anyloom.errors.CheckpointError: An option has another value.

    >>> check_options({"a": {"b": 1, "c": 1}}, {"a": {"b": 1, "c": 2}}, fixed=["a."], changeable=["a.c"], where="")
    """
    old, new = _dotted(there), _dotted(here)
    keys = [k for k in new if k.startswith(tuple(fixed)) and not k.startswith(tuple(changeable))]
    wrong = [f"{k} is {old[k]!r} there, {new[k]!r} here" for k in keys if k in old and old[k] != new[k]]
    if wrong:
        raise CheckpointError(
            f"these weights were trained with other options ({'; '.join(wrong)})",
            where=where,
            fix="use the options the weights were trained with",
        )


def _dotted(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options as one table of dotted keys."""
    table: dict[str, Any] = {}
    for key, value in options.items():
        table |= _dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return table
