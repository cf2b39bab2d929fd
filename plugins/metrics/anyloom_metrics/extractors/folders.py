"""Folders that transformers saved, read without a network connection and without anything but safetensors and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anyloom.errors import CheckpointError
from anyloom.storage import json_text
from anyloom.storage.tensors import check_report

__all__ = ["load_published", "read_json"]


def load_published(cls: Any, folder: Path, config: Any, **options: Any) -> Any:
    """Return a model of transformers with a folder's tensors.

    Args:
        cls: Its class.
        folder: The folder.
        config: Configuration to build it with.
        options: More arguments of its constructor.

    Raises:
        anyloom.errors.CheckpointError: Files are missing or broken, or tensors are missing or of other shapes.
    """
    try:
        model, report = cls.from_pretrained(
            folder, config=config, local_files_only=True, use_safetensors=True, output_loading_info=True, **options
        )
    except (OSError, ValueError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"the weights cannot be loaded ({first})",
            where=str(folder),
            fix="give a whole folder that transformers saved",
        ) from error
    # what a checkpoint has beyond the model (poolers, counters) is not used here; what it lacks would stay random
    check_report({**report, "unexpected_keys": ()}, where=str(folder))
    return model


def read_json(folder: Path, name: str, *, needed: bool) -> dict[str, Any]:
    """Read a JSON object of a folder; empty where a file that is not needed is missing.

    Raises:
        anyloom.errors.CheckpointError: It is missing, or no JSON object.
    """
    file = folder / name
    if not file.is_file():
        if not needed:
            return {}
        raise CheckpointError(
            f"there is no {name} here", where=str(folder), fix="give a folder that transformers saved"
        )
    value: dict[str, Any] = json_text.read_json(file, what="cannot be read")
    return value
