from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyloom.data.sources import JsonFile, json_file
from anyloom.errors import BadRecord, ConfigError

TEXT = st.text(alphabet='"\\[]{},: aé\n', max_size=8)
VALUE = st.recursive(
    TEXT | st.integers() | st.none(),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(TEXT, v, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
@given(values=st.lists(VALUE, max_size=5), indent=st.sampled_from([None, 2]))
@settings(max_examples=80, deadline=None)
def test_elements_are_those_that_json_finds(tmp_path_factory: Any, block: int, values: list[Any], indent: Any) -> None:
    path = tmp_path_factory.mktemp("j") / "a.json"
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_file, "_BLOCK", block)
        found = JsonFile(path)
    assert [found[i] for i in range(len(found))] == [v if isinstance(v, dict) else {"value": v} for v in values]


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
@given(values=st.dictionaries(TEXT, st.dictionaries(TEXT, VALUE, max_size=3), max_size=4), other=VALUE)
@settings(max_examples=80, deadline=None)
def test_members_below_a_key(tmp_path_factory: Any, block: int, values: dict[str, Any], other: Any) -> None:
    path = tmp_path_factory.mktemp("j") / "a.json"
    path.write_text(json.dumps({"meta": {"data": [1], "x": other}, "data": values, "z": other}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_file, "_BLOCK", block)
        found = JsonFile(path, key="data")
    assert [found[i] for i in range(len(found))] == [{**v, "__key__": k} for k, v in values.items()]
    assert [found.name(i) for i in range(len(found))] == list(found.names()) == list(values)


def test_a_cut_file_gives_what_is_whole(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"a": 1}, {"a": 2}, {"a": [3, 4')
    found = JsonFile(tmp_path / "a.json")
    assert [found[i] for i in range(2)] == [{"a": 1}, {"a": 2}]
    with pytest.raises(BadRecord, match="not JSON") as caught:
        found[2]
    assert caught.value.where == f"{tmp_path}/a.json[2]"
    assert len(found) == 3


@pytest.mark.parametrize("text", ["", "12", '"a"', "a,b\n"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigError):
        JsonFile(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["[]", '{"meta": []}', '[{"data": []}]'])
def test_a_key_that_is_not_there_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ConfigError, match="data"):
        JsonFile(tmp_path / "a.json", key="data")
