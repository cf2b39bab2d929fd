"""Every target with damaged inputs: declared errors alone, bounded time and memory.

A moment for each by default; ``ANYLOOM_FUZZ_SECONDS=120`` divides two minutes among them, which is what CI does.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.driving import drive, one
from fuzz.targets import TARGETS, Target, damaged

ASKED = float(os.environ.get("ANYLOOM_FUZZ_SECONDS", "0"))
CHEAP = [t for t in TARGETS if t.name in ("conversations", "overrides", "indices", "plugin-sets", "safetensors")]


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.slow
def test_damaged_inputs_give_declared_errors_alone(target: Target) -> None:
    found = drive(target, max(ASKED / len(TARGETS), 1.0), seed=random.randrange(10**6) if ASKED else 0)
    assert not found.findings
    assert found.inputs
    assert found.grown < 1500


@pytest.mark.parametrize("target", CHEAP, ids=str)
def test_a_few_of_them_at_once(target: Target, tmp_path: Path) -> None:
    draw = random.Random(1)
    results = {one(target, damaged(draw.choice(list(target.bases())), draw), tmp_path) for _ in range(100)}
    assert "refused" in results


@pytest.mark.parametrize("target", CHEAP, ids=str)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=200), cut=st.integers(0, 400))
def test_any_bytes(target: Target, data: bytes, cut: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    base = target.bases()[0]
    for value in (data, base[:cut] + data + base[cut:]):
        one(target, value, tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_good_inputs_are_read(target: Target, tmp_path: Path) -> None:
    """A target that refuses everything would find nothing."""
    if target.name == "indices":  # which name files that are not there
        return
    for base in target.bases():
        if target.name in ("checkpoints", "pickles") and one(target, base, tmp_path) == "refused":
            continue
        assert one(target, base, tmp_path) == "read" or target.name in ("records", "configs")


def test_a_bug_and_a_crash_are_findings() -> None:
    def read(data: bytes, folder: Path) -> None:
        if len(data) % 3 == 0:
            raise KeyError("a bug")
        if len(data) % 7 == 1:
            os.abort()

    found = drive(Target("broken", lambda: [b"abcdefgh"], read), 1.0)
    assert any("KeyError" in text for text in found.findings)
    assert any("the process died (-6)" in text for text in found.findings)
