"""Folders that transformers saved: sizes and preprocessing numbers from JSON, tensors from safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from anyloom.errors import CheckpointError
from anyloom.storage.json_text import read_json
from anyloom.storage.repositories import fetch
from anyloom.storage.tensors import read_tensors

__all__ = ["load", "preparation_of", "sizes_of"]

_JSON = ("config.json", "preprocessor_config.json")
_TENSORS = ("model*.safetensors", "model.safetensors.index.json")


def sizes_of(source: str, section: str, *, download: bool) -> dict[str, Any]:
    """Return the tower's part of a folder's ``config.json``, whether it is of one tower or of both.

    In a file of both towers the projection is described outside the parts, and what the part itself says about it
    may be a leftover default.

    Raises:
        anyloom.errors.CheckpointError: There is no such file.
    """
    whole = _read(fetch(source, _JSON, download=download) / "config.json")
    if section not in whole:
        return whole
    shared = {k: whole[k] for k in ("projection_dim", "projection_hidden_act") if k in whole}
    return {**whole[section], **shared}


def preparation_of(source: str, *, download: bool, may_be_absent: bool) -> dict[str, Any]:
    """Return a folder's ``preprocessor_config.json``, empty if there is none.

    Args:
        source: Folder or repository.
        download: Whether the hub may be asked.
        may_be_absent: Whether a repository that is not on this machine counts as one without the file.

    Raises:
        anyloom.errors.CheckpointError: The file is broken, or the repository is not there.
    """
    try:
        file = fetch(source, _JSON, download=download) / "preprocessor_config.json"
    except CheckpointError:
        if may_be_absent:
            return {}
        raise
    return _read(file) if file.exists() else {}


def _read(file: Path) -> dict[str, Any]:
    if not file.exists():
        raise CheckpointError(
            f"there is no {file.name} here", where=str(file.parent), fix="give a folder that transformers saved"
        )
    value: dict[str, Any] = read_json(file, what="cannot be read")
    return value


def load(network: Any, source: str, *, download: bool) -> Any:
    """Return a model like ``network``, which may be on the meta device, with a folder's tensors.

    Tensors of the other tower are left out.

    Args:
        network: A model of transformers.
        source: Folder or repository.
        download: Whether the hub may be asked.

    Raises:
        anyloom.errors.CheckpointError: Files are missing or broken, or tensors are missing or of other shapes.
    """
    folder = fetch(source, (*_JSON, *_TENSORS), download=download)
    towers = {key.partition(".")[0] for key in network.state_dict()}
    tensors = {k: v for k, v in read_tensors(folder).items() if k.partition(".")[0] in towers}
    _check(network.state_dict(), tensors, source)
    return type(network).from_pretrained(None, config=network.config, state_dict=tensors, dtype=network.dtype)


def _check(own: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], source: str) -> None:
    """Refuse tensors that would leave a parameter random."""
    missing = sorted(own.keys() - tensors.keys())
    wrong = [
        f"{k} is {tuple(tensors[k].shape)}, expected {tuple(own[k].shape)}"
        for k in sorted(own.keys() & tensors.keys())
        if own[k].shape != tensors[k].shape
    ]
    problems = [
        f"{len(found)} {label}: {', '.join(found[:3])}"
        for label, found in (("tensors missing", missing), ("shapes wrong", wrong))
        if found
    ]
    if problems:
        raise CheckpointError(
            f"the weights are not of this model ({'; '.join(problems)})", where=source, fix="fetch the folder again"
        )
