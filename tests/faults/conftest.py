"""Rows of the fault matrix: ``row`` names what is done and what is promised, for the page that a run of them writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SLOW = {10, 11, 14, 21, 24, 26, 31, 32, 34, 35, 38, 39, 40, 41, 42, 43, 44, 46, 48, 49, 50}
"""Rows that take more than half a second; the others are a sample that every run of the tests takes."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the longer rows to CI, before tests are chosen by their marks."""
    for item in items:
        mark = item.get_closest_marker("row")
        if mark is not None and mark.kwargs["number"] in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    with mounted(tmp_path / "disk", "size=3m") as place:
        yield place


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    place.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture(autouse=True)
def _deadline() -> Iterator[None]:
    """No row may hang: after five minutes the process says so and ends."""

    def end() -> None:
        sys.stderr.write(f"a row of the fault matrix hangs (process {os.getpid()})\n")
        os.kill(os.getpid(), signal.SIGABRT)

    timer = threading.Timer(300, end)
    timer.daemon = True
    timer.start()
    yield
    timer.cancel()
