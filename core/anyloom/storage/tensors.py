"""Reading and writing safetensors folders with clear errors. No pickle is ever opened here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from anyloom.errors import CheckpointError

__all__ = ["check_report", "load_into", "read_tensors", "sha256", "write_tensors"]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read one ``.safetensors`` file, or a folder's ``model.safetensors`` or indexed shards.

    Raises:
        anyloom.errors.CheckpointError: Nothing is there, or a file is truncated or not safetensors.
    """
    files = [path]
    if path.is_dir():
        index = path / "model.safetensors.index.json"
        names = sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.exists() else None
        files = [path / n for n in names or ["model.safetensors"]]
    tensors: dict[str, Tensor] = {}
    for file in files:
        if not file.exists():
            raise CheckpointError("there are no weights here", where=str(file), fix="check the path in the config")
        try:
            tensors |= load_file(file)
        except SafetensorError as error:
            raise CheckpointError(
                f"the file is truncated or not safetensors ({error})", where=str(file), fix="fetch or write it again"
            ) from error
    return tensors


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors to one ``.safetensors`` file, making its folder; a file there is replaced at the end only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, partial, dict(metadata or {}))
    partial.replace(path)


def load_into(module: nn.Module, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Load tensors into a module: every key must be there, none may be left, shapes must agree.

    Raises:
        anyloom.errors.CheckpointError: Lists the first missing, unexpected and misshapen keys.
    """
    own: dict[str, Any] = module.state_dict()
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    shapes = [
        f"{k} is {tuple(tensors[k].shape)}, expected {tuple(own[k].shape)}"
        for k in own.keys() & tensors.keys()
        if own[k].shape != tensors[k].shape
    ]
    problems = _named(("keys missing", missing), ("keys unexpected", extra), ("shapes wrong", sorted(shapes)))
    if problems:
        raise CheckpointError(
            f"the weights do not belong to this {type(module).__name__} ({problems})",
            where=where,
            fix="use the config the weights were trained with",
        )
    module.load_state_dict(dict(tensors))


def check_report(report: Mapping[str, Iterable[Any]], *, where: str) -> None:
    """Refuse a published checkpoint that does not fill its model or has more; the libraries only warn.

    Args:
        report: What ``from_pretrained(..., output_loading_info=True)`` of transformers or diffusers returns.
        where: The folder.

    Raises:
        anyloom.errors.CheckpointError: Lists the first keys that are missing, unexpected and misshapen.
    """
    labels = {"missing_keys": "keys missing", "unexpected_keys": "keys unexpected", "mismatched_keys": "shapes wrong"}
    problems = _named(*((label, sorted(map(str, report.get(key, ())))) for key, label in labels.items()))
    if problems:
        raise CheckpointError(
            f"the weights are not those of the model that config.json describes ({problems})",
            where=where,
            fix="fetch the folder again, whole",
        )


def _named(*groups: tuple[str, list[str]]) -> str:
    """The first three of each group that has any."""
    return "; ".join(
        f"{len(keys)} {label}: {', '.join(keys[:3])}{' ...' if len(keys) > 3 else ''}" for label, keys in groups if keys
    )


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
