"""Tiny forms of both projectors, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

from pathlib import Path

from anyloom.testing import ProjectorCase

__all__ = ["change", "compare"]


def compare(folder: Path) -> ProjectorCase:
    """The input projector."""
    del folder
    return ProjectorCase("compare", options={"hidden_dim": 8, "products_dim": 8, "band": 1}, in_dim=5, out_dim=7)


def change(folder: Path) -> ProjectorCase:
    """The output projector."""
    del folder
    return ProjectorCase("change", options={"hidden_dim": 8, "band": 1}, in_dim=7, out_dim=5)
