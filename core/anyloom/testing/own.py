"""Tiny forms of the core's own components."""

from __future__ import annotations

import json
from pathlib import Path

from anyloom.testing.case import DatasetCase, LossCase, ProjectorCase, RepresentationCase

__all__ = ["autoregressive", "conversations", "info_nce", "parallel", "projector"]


def projector(folder: Path) -> ProjectorCase:
    """The MLP projector with every option on.

    >>> projector(Path()).options
    {'hidden_dim': 5, 'skip': True}
    """
    del folder
    return ProjectorCase("mlp", options={"hidden_dim": 5, "skip": True})


def autoregressive(folder: Path) -> RepresentationCase:
    """Three features one after another."""
    del folder
    return RepresentationCase("autoregressive")


def parallel(folder: Path) -> RepresentationCase:
    """Three features at once."""
    del folder
    return RepresentationCase("parallel")


def info_nce(folder: Path) -> LossCase:
    """Four media of three features each."""
    del folder
    return LossCase("info-nce")


def conversations(folder: Path) -> DatasetCase:
    """Two conversations in a file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     len(conversations(Path(folder)).build().build("train"))
    2
    """
    path = folder / "train.jsonl"
    question = {"role": "user", "content": "what is this?"}
    answers = [{"role": "assistant", "content": text} for text in ("a heart", "a bell")]
    path.write_text("".join(json.dumps({"messages": [question, a], "task": "name"}) + "\n" for a in answers))
    return DatasetCase("conversations", options={"train": str(path)})
