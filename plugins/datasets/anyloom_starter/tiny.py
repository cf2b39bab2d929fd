"""Tiny form of the data set, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

from pathlib import Path

from anyloom.testing import DatasetCase

__all__ = ["dataset"]


def dataset(folder: Path) -> DatasetCase:
    """A few samples of every split."""
    del folder
    options = {"num_samples": 8, "num_queries": 8}
    return DatasetCase("starter", options=options, splits=("train", "val", "test"))
