"""Whether weights belong to what would read them, by the headers of their files: no value is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import nn

from anyloom.errors import AnyloomError, CheckpointError
from anyloom.interfaces.component import NeuralComponent
from anyloom.model.saving import start_from
from anyloom.network.assembly import keyed
from anyloom.network.parts import Parts
from anyloom.storage.headers import reading_headers
from anyloom.storage.json_text import read_json
from anyloom.storage.pickles import refuse_pickled
from anyloom.storage.saved_part import split_part
from anyloom.storage.tensors import load_into, read_tensors

__all__ = ["begin_problems", "weight_problems"]

_NETWORKS: Final = ("unet", "vae")
"""Folders of a published pipeline that every decoder reads; of others it may have its own."""
_PUBLISHED: Final = {"model_type", "architectures", "_class_name", "_diffusers_version"}


def weight_problems(component: object, key: str) -> list[AnyloomError]:
    """Compare a component on the meta device with the weight files that it names.

    The component's own ``load_weights`` is asked, with tensors that have shapes and no values. Published folders are
    left to the libraries that read them, but for pickled weights, which nothing reads.

    Args:
        component: Any component.
        key: Its YAML key.

    >>> weight_problems(NeuralComponent(None), "model.llm")  # it names no files
    []
    """
    if not isinstance(component, NeuralComponent):
        return []
    files = component.weight_files()
    try:
        for folder in files:
            for part in (folder, *(folder / name for name in _NETWORKS)):
                refuse_pickled(part)
    except AnyloomError as error:
        return keyed(error, key)
    if not files or not all(split_part(path)[1] or _is_own(path) for path in files):
        return []
    try:
        with reading_headers(), torch.device("meta"):
            component.load_weights()
    except AnyloomError as error:
        return keyed(error, key)
    except Exception:  # it wants values, which only a run can give it
        return []
    return []


def begin_problems(module: nn.Module, folder: Path, key: str, only: Sequence[str] = ()) -> list[AnyloomError]:
    """Compare a model's parts, or a component, on the meta device with a folder that they would start from.

    Args:
        module: The parts, or the component.
        folder: A saved model, or a folder of tensors; nothing is said about one that is not there.
        key: YAML key that names it.
        only: Take only these parts of a saved model.
    """
    if not folder.is_dir() or not _is_own(folder):
        return []
    try:
        with reading_headers():
            if isinstance(module, Parts):
                start_from(module, folder, only)
            else:
                load_into(module, read_tensors(folder), where=str(folder))
    except AnyloomError as error:
        return keyed(error, key)
    return []


def _is_own(path: Path) -> bool:
    """Whether a path is a safetensors file, or a folder with one that no other library describes."""
    if path.is_file():
        return path.suffix == ".safetensors"
    if not (path / "model.safetensors").is_file() and not (path / "model.safetensors.index.json").is_file():
        return False
    try:
        return not _PUBLISHED & read_json(path / "config.json").keys()
    except CheckpointError:
        return not (path / "config.json").exists()
