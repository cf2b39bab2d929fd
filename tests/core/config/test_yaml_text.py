"""YAML of configs: numbers as YAML 1.2 has them, and what a stranger's file may not do to who opens it."""

from __future__ import annotations

import copy
import math
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from anyloom.config.yaml_text import FromEnvironment, parse_yaml, read_yaml, write_yaml
from anyloom.errors import ConfigError
from anyloom.limits import limit


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # examples of YAML 1.2.2, section 10.3.2
        ("0", 0), ("0o7", 7), ("0x3A", 58), ("-19", -19),
        ("0.", 0.0), ("-0.0", -0.0), (".5", 0.5), ("+12e03", 12000.0), ("-2E+05", -200000.0),
        (".inf", math.inf), ("-.Inf", -math.inf), ("+.INF", math.inf),
        # what YAML 1.1 makes of them differs
        ("1e-4", 0.0001), ("1e5", 100000.0), ("010", 10), ("1:30", "1:30"), ("12:30:45", "12:30:45"),
        ("2024-05-01", "2024-05-01"), ("'1e-4'", "1e-4"), ("1e", "1e"), ("null", None), ("true", True),
    ],
)  # fmt: skip
def test_numbers_are_numbers_and_nothing_else_is(text: str, value: Any) -> None:
    found = parse_yaml(f"a: {text}", where="test")["a"]
    assert found == value
    assert type(found) is type(value)


def test_what_is_written_is_read_as_the_same() -> None:
    value = {
        "texts": ["1e-4", "010", "1:30", "0x1f", "2024-01-01", "yes", "~", "", "1_000", ".5", "a: b"],
        "numbers": [1e-4, 1e22, -0.0, 3, math.inf, 1e-310],
        "rest": {"none": None, "true": True, "nested": [[], {}]},
    }
    assert parse_yaml(write_yaml(value), where="test") == value


@pytest.mark.parametrize("sign", ["\x85", "\u2028", "\u2029", "\ufeff", "\r", "\r\n", "\t", "\xa0", "\x7f", "\0"])
@pytest.mark.parametrize("around", ["{}", "a{}", "{}b", "a{}b", " a {} b ", "a\n{}\nb", "# {}", "'{}\""])
def test_blanks_and_line_ends_of_all_kinds_survive(sign: str, around: str) -> None:
    text = around.format(sign)
    written = write_yaml({"a": text, text: [text]})
    assert parse_yaml(written, where="written") == {"a": text, text: [text]}


def test_periods_and_paths_are_written_as_the_texts_that_they_are_read_from() -> None:
    assert write_yaml({"a": timedelta(minutes=30), "b": Path("x/y")}) == "a: '0:30:00'\nb: x/y\n".replace("'", "")


def test_an_environment_variable_is_written_as_its_expression() -> None:
    secret = FromEnvironment("s3cret", "${oc.env:TOKEN}")
    for value in (secret, copy.deepcopy(secret), pickle.loads(pickle.dumps(secret))):
        assert value == "s3cret"
        assert write_yaml({"token": value}) == "token: ${oc.env:TOKEN}\n"


def laughs(count: int) -> str:
    """Each list holds nine times the one before: 9 ** count texts."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    return "\n".join(lines + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, count)])


def merges(count: int) -> str:
    """Each mapping merges the one before twice."""
    lines = ["a0: &a0 {x: 1}"]
    return "\n".join(lines + [f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, count)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (laughs(12), "too large"),
        (merges(40), "too large"),
        ("a: &a [*a]", "inside its own anchor"),
        ("a: &a {b: *a}", "inside its own anchor"),
        ("[" * 100_000, "deeper than 64"),
        ("{a: " * 100_000, "deeper than 64"),
        ("- " * 100_000 + "x", "deeper than 64"),
        ("a: 1\nb: 2\na: 3", "the key 'a' stands twice"),
        ("a: " + "1" * 5000, "digits"),
        ("!!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("a: !!timestamp 2001-99-99", "month"),
        ("? [a]\n: b", "unhashable"),
        ("a: \x00", "special characters"),
    ],
)  # fmt: skip
def test_a_hostile_file_is_one_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_yaml(text, where="x.yaml")
    assert caught.value.where == "x.yaml"
    assert "\n" not in str(caught.value)


def test_merge_keys_may_be_overridden_and_used_twice() -> None:
    text = "x: &a {q: 1, r: 0}\ny: {<<: *a, q: 2}\nz: {<<: *a}"
    assert parse_yaml(text, where="test") == {"x": {"q": 1, "r": 0}, "y": {"q": 2, "r": 0}, "z": {"q": 1, "r": 0}}


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text("a: b\n#" + "x" * limit("config-bytes"))
    with pytest.raises(ConfigError, match="more than"):
        read_yaml(path)
    with pytest.raises(ConfigError, match="no such file"):
        read_yaml(Path("/dev/zero"))


def test_a_file_is_parsed_once_for_all_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a caller does to the values, and what is written into the file, shows where it should and nowhere else."""
    from anyloom.config import yaml_text

    parsed: list[str] = []
    of_module = yaml_text.parse_yaml
    monkeypatch.setattr(
        yaml_text, "parse_yaml", lambda text, where: parsed.append(text) or of_module(text, where=where)
    )
    path = tmp_path / "a.yaml"
    path.write_text("data: {sizes: [1, 2]}")
    first = read_yaml(path)
    first["data"]["sizes"].append(3)
    assert read_yaml(path) == {"data": {"sizes": [1, 2]}}
    assert len(parsed) == 1
    path.write_text("data: {sizes: [4]}")  # in the same second, of another content
    assert read_yaml(path) == {"data": {"sizes": [4]}}
    path.write_text("data: {sizes: [1, 2]}")
    monkeypatch.setenv("ANYLOOM_LIMITS", "config-depth=2")
    with pytest.raises(ConfigError, match="nested deeper than 2 levels"):
        read_yaml(path)
