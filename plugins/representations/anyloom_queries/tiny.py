"""Tiny form, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

from pathlib import Path

from anyloom.testing import RepresentationCase

__all__ = ["queries"]


def queries(folder: Path) -> RepresentationCase:
    """Five queries for three features."""
    del folder
    return RepresentationCase("queries", options={"queries": 5, "width": 8, "heads": 2, "layers": 1})
