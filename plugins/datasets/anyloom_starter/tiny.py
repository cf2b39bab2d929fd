"""Tiny form of the data set, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

from pathlib import Path

from anyloom.testing import DatasetCase

__all__ = ["clips", "dataset", "inference", "story", "sweep"]


def dataset(folder: Path) -> DatasetCase:
    """A few samples of every split."""
    del folder
    options = {"num_samples": 8, "num_queries": 8}
    return DatasetCase("starter", options=options, splits=("train", "val", "choose", "test"))


def inference(folder: Path) -> DatasetCase:
    """A few prompts of both splits."""
    del folder
    return DatasetCase("starter-inference", options={"num_queries": 2, "examples": [0, 1, 4]}, splits=("val", "test"))


def clips(folder: Path) -> DatasetCase:
    """A few samples of every split."""
    del folder
    options = {"num_samples": 8, "num_queries": 1, "test_examples": [0, 1]}
    return DatasetCase("starter-clips", options=options, splits=("train", "val", "choose", "test"))


def sweep(folder: Path) -> DatasetCase:
    """A few edits of every modality."""
    del folder
    return DatasetCase("starter-sweep", options={"num_queries": 2, "examples": [0, 2]}, splits=("val", "test"))


def story(folder: Path) -> DatasetCase:
    """A few stories of both splits."""
    del folder
    return DatasetCase("starter-story", options={"num_stories": 2}, splits=("val", "test"))
