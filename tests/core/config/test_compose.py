from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from anyloom.config.compose import compose
from anyloom.errors import CheckpointError, ConfigError

BASE = {
    "model": {
        "llm": {"name": "llama", "weights": "folder", "dtype": "float32"},
        "encoders": {"eye": {"name": "tiny", "width": 8}, "ear": {"name": "tiny", "width": 4}},
    },
    "trainer": {"max_steps": 10},
}


def write(folder: Path, name: str, value: Any) -> str:
    path = folder / name
    path.write_text(value if isinstance(value, str) else yaml.safe_dump(value))
    return str(path)


def test_a_second_file_changes_one_option_and_keeps_the_others(tmp_path: Path) -> None:
    files = [
        write(tmp_path, "base.yaml", BASE),
        write(tmp_path, "more.yaml", {"model": {"encoders": {"eye": {"width": 16}}}}),
    ]
    merged = compose(files)
    assert merged["model"]["encoders"] == {"eye": {"name": "tiny", "width": 16}, "ear": {"name": "tiny", "width": 4}}
    assert merged["model"]["llm"] == BASE["model"]["llm"]
    assert merged["trainer"] == {"max_steps": 10}


def test_an_override_changes_one_nested_option_with_yaml_types() -> None:
    merged = compose([BASE], ["model.encoders.eye.width=32", "trainer.max_steps=null", "trainer.x={a: [1, b]}"])
    assert merged["model"]["encoders"]["eye"] == {"name": "tiny", "width": 32}
    assert merged["trainer"] == {"max_steps": None, "x": {"a": [1, "b"]}}


def test_another_component_drops_the_options_of_the_old_one() -> None:
    merged = compose([BASE, {"model": {"llm": {"name": "gpt", "layers": 2}}}])
    assert merged["model"]["llm"] == {"name": "gpt", "layers": 2}


def test_the_same_component_named_again_keeps_its_options() -> None:
    merged = compose([BASE, {"model": {"llm": {"name": "llama", "dtype": "bfloat16"}}}])
    assert merged["model"]["llm"] == {"name": "llama", "weights": "folder", "dtype": "bfloat16"}


def test_a_class_path_replaces_a_name() -> None:
    merged = compose([BASE, {"model": {"llm": {"class_path": "a.b.C"}}}])
    assert merged["model"]["llm"] == {"class_path": "a.b.C"}


def test_defaults_are_merged_first_also_in_a_chain(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", BASE)
    write(tmp_path, "middle.yaml", {"defaults": ["base.yaml"], "trainer": {"max_steps": 20, "devices": 1}})
    top = write(tmp_path, "top.yaml", {"defaults": "middle.yaml", "trainer": {"devices": 2}})
    merged = compose([top])
    assert merged["trainer"] == {"max_steps": 20, "devices": 2}
    assert merged["model"] == BASE["model"]
    assert "defaults" not in merged


def test_interpolations_see_later_files_and_overrides() -> None:
    base = {"variables": {"size": 1}, "data": {"batch_size": "${variables.size}"}}
    assert compose([base, {"variables": {"size": 2}}])["data"]["batch_size"] == 2
    assert compose([base], ["variables.size=3"])["data"]["batch_size"] == 3


def test_an_interpolation_that_does_not_resolve_is_named_with_its_key() -> None:
    with pytest.raises(ConfigError, match=r"nothing.*not found") as caught:
        compose([{"data": {"batch_size": "${variables.nothing}"}}])
    assert caught.value.where == "data.batch_size"


def test_a_stage_overrides_the_sections_and_overrides_come_last() -> None:
    recipe = {**BASE, "stages": {"one": {"trainer": {"max_steps": 1}}, "two": {"model": {"llm": {"name": "gpt"}}}}}
    assert compose([recipe], stage="one")["trainer"] == {"max_steps": 1}
    assert compose([recipe], stage="two")["model"]["llm"] == {"name": "gpt"}
    assert compose([recipe], ["trainer.max_steps=5"], stage="one")["trainer"] == {"max_steps": 5}
    assert compose([recipe], ["stages.one.trainer.max_steps=7"], stage="one")["trainer"] == {"max_steps": 7}


@pytest.mark.parametrize(
    ("sources", "overrides", "stage", "where", "message"),
    [
        (["nowhere.yaml"], [], None, "nowhere.yaml", "no such config file"),
        (["no-recipe"], [], None, "config", "neither a file nor a recipe"),
        ([BASE], ["trainer.max_steps"], None, "trainer.max_steps", "key=value"),
        ([BASE], ["a=[1"], None, "a=[1", "not valid YAML"),
        ([BASE], [], "three", "stages", "no stage 'three'"),
    ],
)
def test_mistakes_are_named(sources: Any, overrides: Any, stage: Any, where: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        compose(sources, overrides, stage)
    assert caught.value.where == where


@pytest.mark.parametrize(("text", "message"), [("a: [1", "not valid YAML"), ("- 1", "holds sections")])
def test_a_file_that_is_no_config_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, "broken.yaml", text)
    with pytest.raises(ConfigError, match=message) as caught:
        compose([path])
    assert caught.value.where == path


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(bytes(range(256)))
    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        compose([path])
    assert caught.value.where == str(path)


@pytest.mark.parametrize("bases", [["a.yaml"], ["b.yaml"]])
def test_defaults_that_lead_back_are_one_error(tmp_path: Path, bases: list[str]) -> None:
    path = write(tmp_path, "a.yaml", {"defaults": bases})
    write(tmp_path, "b.yaml", {"defaults": "a.yaml"})
    with pytest.raises(ConfigError, match="its own 'defaults'") as caught:
        compose([path])
    assert caught.value.where == path


@pytest.mark.parametrize("bases", [3, [3], {"a": "b"}])
def test_defaults_of_another_kind_are_one_error(tmp_path: Path, bases: Any) -> None:
    with pytest.raises(ConfigError, match="list of files or recipes"):
        compose([write(tmp_path, "a.yaml", {"defaults": bases})])


def test_a_saved_model_stands_for_its_config(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    files = {"model.safetensors": "0" * 64}  # read with the tensors, not with the config
    model = {"llm": {"name": "llama", "tokenizer": "@/llm"}, "encoders": {"eye": {"name": "tiny", "width": 8}}}
    (folder / "config.json").write_text(json.dumps({"format": 2, "model": model, "files": files}))
    more = write(tmp_path, "more.yaml", {"defaults": "saved", "model": {"encoders": {"eye": {"width": 16}}}})
    for sources in ([str(folder), {"model": {"encoders": {"eye": {"width": 16}}}}], [more]):
        merged = compose(sources)
        assert merged["module"] == {"name": "any-to-any", "start_from": str(folder)}
        assert merged["model"]["llm"]["tokenizer"] == str(folder / "llm")
        assert merged["model"]["encoders"] == {"eye": {"name": "tiny", "width": 16}}
    merged = compose([{**BASE, "stages": {"eye": {}}}, str(folder)])
    assert "ear" not in merged["model"]["encoders"], "a saved model is whole"
    assert "stages" not in merged
    assert merged["trainer"] == BASE["trainer"]
    (folder / "config.json").write_text(json.dumps({"format": 9, "model": model}))
    with pytest.raises(CheckpointError, match="format 9"):
        compose([str(folder)])


def test_a_key_inside_a_variable_that_nothing_reads_is_refused() -> None:
    source = {
        "variables": {"sizes": {"batch": 1}, "tasks": {"edit": 1}, "of_a_program": {"title": "x"}},
        "data": {"batch_size": "${variables.sizes.batch}", "datasets": {"a": {"tasks": "${variables.tasks}"}}},
    }
    with pytest.raises(ConfigError, match=r"nothing reads 'variables\.sizes\.bach'.*did you mean 'batch'"):
        compose([source], ["variables.sizes.bach=2"], strict=True)
    assert compose([source], ["variables.sizes.batch=2"], strict=True)["data"]["batch_size"] == 2
    whole = compose([source], ["variables.tasks.rounds=2", "variables.of_a_program.more=1"], strict=True)
    assert whole["data"]["datasets"]["a"]["tasks"] == {"edit": 1, "rounds": 2}
