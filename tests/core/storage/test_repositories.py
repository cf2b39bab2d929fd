from __future__ import annotations

from pathlib import Path

import pytest

from anyloom.errors import CheckpointError
from anyloom.storage.repositories import fetch


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    assert fetch(str(tmp_path), ["*.json"], download=False) == tmp_path


def test_a_repository_that_is_not_here_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="nobody/nothing-at-all: the repository is not on this machine"):
        fetch("nobody/nothing-at-all", ["*.json"], download=False)
