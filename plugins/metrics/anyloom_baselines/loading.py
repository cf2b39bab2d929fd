"""Pipelines of diffusers from folders on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from anyloom.errors import CheckpointError

__all__ = ["load_pipeline"]


def load_pipeline(kind: str, folder: Path, device: torch.device, **parts: Any) -> Any:
    """Load a pipeline; nothing is fetched, nothing is unpickled, and no code of the folder runs.

    Args:
        kind: Name of the pipeline's class in diffusers.
        folder: As diffusers saves a pipeline.
        device: Where to.
        parts: Parts to leave out or replace.

    Raises:
        anyloom.errors.CheckpointError: The folder is missing, incomplete or of another pipeline.
    """
    import diffusers
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    of_diffusers.disable_progress_bar()
    of_transformers.disable_progress_bar()
    if not folder.is_dir():
        raise CheckpointError("there is no such folder", where=str(folder), fix="set baseline.weights to the pipeline")
    try:
        load = getattr(diffusers, kind).from_pretrained
        pipeline = load(str(folder), local_files_only=True, use_safetensors=True, trust_remote_code=False, **parts)
    except (OSError, ValueError, TypeError, RuntimeError, AttributeError, SafetensorError) as error:
        what = f"cannot be read as {kind} ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        raise CheckpointError(what, where=str(folder), fix="fetch the folder again") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)
