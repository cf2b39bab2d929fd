"""JSON of strangers: what is wrong with it is one kind of error, that says what, where and what to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from anyloom.errors import ConfigError
from anyloom.storage.json_text import json_value, read_json

WRONG = {
    "deep": b"[" * 100_000,
    "cut": b'{"a": ',
    "a long number": b"9" * 5000,
    "no Unicode": b'{"a": "\xff"}',
    "half a character": b'{"a": "\xed\xa0\x80"}',
    "nothing": b"",
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_everything_that_is_wrong_is_one_kind_of_error(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"."):
        json_value(content)
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"no sizes \(.+\)") as caught:
        read_json(tmp_path / "a.json", what="no sizes", fix="write it again", error=ConfigError)
    assert (caught.value.where, caught.value.fix) == (str(tmp_path / "a.json"), "write it again")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_every_way_to_write_json_is_read(encoding: str) -> None:
    assert json_value('{"name": "grün"}'.encode(encoding)) == {"name": "grün"}


def test_no_more_is_read_than_is_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    file.write_text("{}" + " " * 98)
    assert read_json(file, most=100) == {}
    with pytest.raises(ConfigError, match="more than 99 bytes"):
        read_json(file, most=99, error=ConfigError)
    monkeypatch.setenv("ANYLOOM_LIMITS", "record-bytes=50")
    with pytest.raises(ConfigError, match="more than 50 bytes"):
        read_json(file, error=ConfigError)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(ConfigError, match="no ordinary file"):
        read_json(tmp_path / "a.json", error=ConfigError)


def test_a_value_of_another_kind_and_a_file_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with pytest.raises(ConfigError, match="No such file"):
        read_json(file, error=ConfigError)
    file.write_text("[1]")
    with pytest.raises(ConfigError, match="expected a table, got list"):
        read_json(file, error=ConfigError)
    assert read_json(file, kind=object) == [1]
