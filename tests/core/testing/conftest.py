"""Runs the kit on components of these tests, and on packages installed for one test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.core.discovery.conftest import Install, install, site  # noqa: F401 - fixtures

from anyloom.discovery.registry import _registry
from anyloom.testing import Case, check_component
from anyloom.testing.component import _asked_of_plugin, _imported

Failed = Callable[[Case], set[str]]


def failed(case: Case) -> set[str]:
    """Names of the checks that fail."""
    return {r.check.name for r in check_component(case) if r.verdict == "failed"}


@pytest.fixture
def publish(install: Install, site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:  # noqa: F811
    """Install packages that this process and its children see."""

    def write(name: str, source: str, **modules: str) -> None:
        install(name, source, **modules)
        _registry.cache_clear()
        _imported.cache_clear()
        _asked_of_plugin.cache_clear()  # packages of one name differ from test to test

    monkeypatch.syspath_prepend(str(site))
    yield write
    _registry.cache_clear()
    for name in [n for n in sys.modules if n.startswith("anyloom_kit")]:
        del sys.modules[name]
