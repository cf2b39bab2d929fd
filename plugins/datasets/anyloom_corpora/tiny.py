"""Tiny forms of what this package offers, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

from pathlib import Path

from anyloom.testing import ModalityCase
from anyloom_corpora.text_feature import text_feature

__all__ = ["texts"]


def texts(folder: Path) -> ModalityCase:
    """Two phrases."""
    del folder
    return ModalityCase("text-feature", media=[text_feature("six legs"), text_feature("größer als 3 €")])
