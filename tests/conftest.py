"""Fixtures that several test folders share."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Tests run in one process per core: threads of their own would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Files of tests come and go; what is kept of the files of others is tested in a cache folder of its own.
os.environ.setdefault("ANYLOOM_CHANGED_FILES", "ignore")
# What is kept for later runs is kept apart from the user's own, but for what pip has downloaded.
os.environ.setdefault("PIP_CACHE_DIR", str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pip"))
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).parents[1] / ".pytest_cache" / "kept")

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import torch
from hypothesis import settings

# A run that somebody waits for gives the same twice; new examples are drawn where fuzzing was asked for.
settings.register_profile("repeatable", derandomize=True, database=None)
if "ANYLOOM_FUZZ_SECONDS" not in os.environ:
    settings.load_profile("repeatable")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: one that came last would leave the other processes without work."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from parts import save_tokenizer

    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))
