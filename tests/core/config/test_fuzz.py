"""Random configs, overrides and records: one declared error or a value, in bounded time, and never an import.

A few seconds by default. ``ANYLOOM_FUZZ_SECONDS=120`` is what CI gives it; a longer run is a matter of that number.
"""

from __future__ import annotations

import contextlib
import json
import os
import string
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anyloom.config.compose import compose
from anyloom.config.merging import merge
from anyloom.config.saved import is_saved_model, read_record
from anyloom.config.schema import ProjectConfig
from anyloom.config.yaml_text import parse_yaml, write_yaml
from anyloom.errors import AnyloomError
from anyloom.options import validate

SECONDS = float(os.environ.get("ANYLOOM_FUZZ_SECONDS", "0.5"))
EACH = 2.0
"""Seconds that no single input may take."""

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
FEW = settings(max_examples=40, deadline=None, suppress_health_check=SLOW, database=None)

WORDS = st.sampled_from(
    [
        "name",
        "class_path",
        "model_type",
        "model",
        "stages",
        "variables",
        "a",
        "b",
        "trainer",
        "0",
        "defaults",
        "",
        "os.x",
    ]
)
PIECES = st.sampled_from(
    [
        "${",
        "}",
        "variables.",
        "model",
        "a",
        ".",
        "b",
        ":",
        "package",
        "oc.env",
        "HOME",
        ",",
        "\\",
        "[0]",
        "anyloom_codi2",
    ]
)
TEXTS = st.one_of(WORDS, st.lists(PIECES, max_size=8).map("".join), st.text(max_size=6))
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), TEXTS, st.sampled_from([1e-4, "1e-4", "1:30", "010", "~"])
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=12
)
CONFIGS = st.dictionaries(WORDS, VALUES, max_size=4)
YAML = st.one_of(
    VALUES.map(lambda value: write_yaml(value)),
    st.text(alphabet=string.ascii_letters[:3] + "[]{}:,-&*!<>|%@`'\"#\n \t0.e", max_size=80),
)
OVERRIDES = st.lists(
    st.tuples(st.lists(WORDS, min_size=1, max_size=3).map(".".join), YAML).map("=".join) | TEXTS, max_size=3
)


def within_time(action: Callable[[], Any]) -> Any:
    """The value of an action, or None where it is refused as it should be."""
    started, value = time.process_time(), None
    with contextlib.suppress(AnyloomError):
        value = action()
    assert time.process_time() - started < EACH
    return value


def again(test: Callable[[], None]) -> None:
    """Run a test with new examples until its time is over."""
    end = time.monotonic() + SECONDS
    while True:
        test()
        if time.monotonic() >= end:
            return


@pytest.fixture(autouse=True)
def _nothing_is_imported(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that configs may name is there to be imported, and is not."""
    folder = tmp_path_factory.mktemp("canary")
    (folder / "canary_of_the_fuzzer.py").write_text("class Thing: pass")
    monkeypatch.syspath_prepend(str(folder))
    yield
    assert "canary_of_the_fuzzer" not in sys.modules


def test_configs_and_overrides() -> None:
    @FEW
    @given(st.lists(CONFIGS, max_size=3), OVERRIDES, st.none() | WORDS, st.booleans())
    def run(sources: list[Any], overrides: list[str], stage: str | None, safe: bool) -> None:
        made = within_time(lambda: compose(sources, overrides, stage, safe=safe))
        if made is not None:
            within_time(lambda: validate(ProjectConfig, made, where=""))
            written = write_yaml({k: v for k, v in made.items() if k not in ("stages", "defaults")})
            parse_yaml(written, where="written")

    again(run)


def escaped(value: Any) -> Any:
    """What a config says where these are its values: a plain ``${`` has a backslash before it."""
    if isinstance(value, dict):
        return {escaped(k): escaped(v) for k, v in value.items()}
    if isinstance(value, list):
        return [escaped(v) for v in value]
    return value.replace("${", "\\${") if isinstance(value, str) else value


def test_what_is_written_is_read_as_the_same() -> None:
    @FEW
    @given(VALUES)
    def run(value: Any) -> None:
        found = parse_yaml(write_yaml(value), where="written")
        assert json.dumps(found, sort_keys=True) == json.dumps(escaped(value), sort_keys=True)

    again(run)


def test_yaml_of_any_kind(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"

    @FEW
    @given(st.one_of(YAML.map(str.encode), st.binary(max_size=60)))
    def run(content: bytes) -> None:
        file.write_bytes(content)
        within_time(lambda: compose([file], safe=True))

    again(run)


def test_merging_forgets_nothing_but_what_it_replaces() -> None:
    @FEW
    @given(CONFIGS, CONFIGS)
    def run(old: dict[str, Any], new: dict[str, Any]) -> None:
        kept = json.dumps([old, new])
        made = merge(old, new)
        assert set(made) == set(old) | set(new)
        assert json.dumps(merge(made, new)) == json.dumps(made), "twice is once"
        assert json.dumps([old, new]) == kept, "what is merged stays as it is"

    again(run)


def test_records_of_saved_models(tmp_path: Path) -> None:
    record = {"format": 1, "model": {"llm": {"name": "llama"}}, "files": {"model.safetensors": "0" * 64}}

    @FEW
    @given(st.sampled_from(sorted(record)), VALUES, st.binary(max_size=40), st.booleans())
    def run(key: str, value: Any, noise: bytes, whole: bool) -> None:
        text = json.dumps({**record, key: value}).encode()
        (tmp_path / "config.json").write_bytes(text if whole else text[: len(noise) * 3] + noise)
        within_time(lambda: is_saved_model(tmp_path))
        within_time(lambda: read_record(tmp_path))
        within_time(lambda: compose([str(tmp_path)]) if is_saved_model(tmp_path) else None)

    again(run)
