"""The schema against another library (jsonschema), and against what ``anyloom check`` says of the same config."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from anyloom.checking.preflight import look_over
from anyloom.cli.schema import main
from anyloom.config.packages import recipe_path
from anyloom.discovery import get_registry
from anyloom.errors import ConfigError
from anyloom.json_schema import config_schema

GOOD = """
model:
  llm:
    name: llama
    tokenizer: ${package:anyloom_mini}/tokenizer
    architecture:
      {model_type: llama, hidden_size: 16, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2}
  encoders:
    eye: {name: conv, size: "${variables.size}", grid: 4, layout_dim: 8, meaning_dim: 8, widths: [8]}
  modalities:
    image: {encoder: eye, representation: {name: autoregressive, input_projector: {name: mlp, hidden_dim: 8}}}
module: {name: any-to-any, optimizer: {lr: 1e-3}}
data:
  datasets:
    small: {name: starter, tasks: {exemplar: 1}, weight: 2, epochs: 1.5}
trainer: {accelerator: cpu, max_steps: 2, precision: 32, callbacks: []}
variables: {size: 16}
stages:
  eye:
    model: {encoders: {eye: {widths: [8, 8]}}}
    trainer: {max_steps: 3}
"""
GONE = object()
MISTAKES: dict[str, tuple[str, Any]] = {
    "unknown section": ("modle", {}),
    "unknown component": ("model.llm.name", "lama"),
    "component without a name": ("model.encoders.eye.name", GONE),
    "unknown option of a component": ("model.llm.frezze", True),
    "option of another component": ("model.encoders.eye.architecture", {}),
    "wrong type": ("model.encoders.eye.grid", "four"),
    "wrong item": ("model.encoders.eye.widths", [8, "wide"]),
    "not one of the words": ("model.encoders.eye.modality", "smell"),
    "no language model": ("model.llm", GONE),
    "unknown option of a modality": ("model.modalities.image.encodr", "eye"),
    "unknown representation": ("model.modalities.image.representation.name", "autoregresive"),
    "unknown option of a projector": ("model.modalities.image.representation.input_projector.hiden_dim", 4),
    "wrong word in the loss": ("model.loss", {"feature": "mae"}),
    "not positive": ("model.max_length", 0),
    "unknown module": ("module.name", "any2any"),
    "negative learning rate": ("module.optimizer.lr", -1),
    "unknown metric": ("module.metrics", {"m": {"name": "retrival"}}),
    "unknown option of a metric": ("module.metrics", {"m": {"name": "feature-error", "modalty": "image"}}),
    "unknown dataset": ("data.datasets.small.name", "startr"),
    "unknown option of a dataset": ("data.datasets.small.taks", {}),
    "text for a weight": ("data.datasets.small.weight", "heavy"),
    "no weight at all": ("data.datasets.small.weight", {"edit": 0}),
    "text for a number": ("data.batch_size", "many"),
    "unknown option of the trainer": ("trainer.max_step", 3),
    "wrong type in the trainer": ("trainer.max_steps", "soon"),
    "mistake in a stage": ("stages.eye.trainer.max_step", 3),
    "mistake in a component of a stage": ("stages.eye.model.encoders.eye.wdiths", [8]),
    "file without a way to get it": ("files", {"w": {"path": "w.bin"}}),
}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json.loads(json.dumps(config_schema()))


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema)


def plain(text: str) -> dict[str, Any]:
    """YAML with the keys that JSON has."""
    return json.loads(json.dumps(yaml.safe_load(text)))


def changed(key: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(plain(GOOD))
    *outer, last = key.split(".")
    place = config
    for part in outer:
        place = place.setdefault(part, {})
    if value is GONE:
        del place[last]
    else:
        place[last] = value
    return config


def test_it_is_a_schema(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", get_registry().recipes)
def test_every_recipe_fits(name: str, validator: Draft202012Validator) -> None:
    assert [e.json_path for e in validator.iter_errors(plain(recipe_path(name).read_text(encoding="utf-8")))] == []


def test_a_good_config_passes_both(validator: Draft202012Validator) -> None:
    assert list(validator.iter_errors(plain(GOOD))) == []
    assert [str(p) for p in look_over([plain(GOOD)]).problems] == []


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_fails_both(mistake: str, validator: Draft202012Validator) -> None:
    key, value = MISTAKES[mistake]
    config = changed(key, value)
    assert not validator.is_valid(config)
    places = [p.where for p in look_over([config]).problems]
    spoken = key.removeprefix("stages.eye.").removesuffix(".name")
    assert any(place.startswith(spoken) for place in places), places


def test_interpolation_may_stand_for_any_value(validator: Draft202012Validator) -> None:
    for key in ("model", "model.encoders.eye", "model.encoders.eye.widths", "data.batch_size", "trainer.max_steps"):
        assert validator.is_valid(changed(key, "${variables.x}")), key


def test_class_paths_take_any_options(validator: Draft202012Validator) -> None:
    for key in ("name", "class_path"):
        assert validator.is_valid(changed("model.encoders.eye", {key: "my_package.eyes.Eye", "pupils": 2}))
    assert not validator.is_valid(changed("model.encoders.eye", {"name": "my package"}))


def test_a_file_with_defaults_need_not_be_whole_but_knows_all_options(validator: Draft202012Validator) -> None:
    part = {"defaults": "mini", "model": {"encoders": {"eye": {"widths": [8]}}}}
    assert validator.is_valid(part)
    assert not validator.is_valid({k: v for k, v in part.items() if k != "defaults"})
    assert not validator.is_valid({**part, "model": {"encoders": {"eye": {"wdiths": [8]}}}})


def test_options_say_what_they_are(schema: dict[str, Any]) -> None:
    option = schema["$defs"]["encoder.conv"]["properties"]["layout_dim"]
    assert option["description"] == "Number of principal components."
    assert option["default"] == 128


def test_the_command_prints_it(schema: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert json.loads(capsys.readouterr().out) == schema
    with pytest.raises(ConfigError, match="cannot be written"):
        main(["--output", str(tmp_path / "nowhere" / "schema.json")])


BROKEN = """
from anyloom.discovery import ComponentSpec, hookimpl

@hookimpl
def anyloom_components():
    return [ComponentSpec(kind="encoder", name="torn", target="anyloom_torn.nowhere:Torn", summary="Torn")]
"""


def test_a_broken_plugin_leaves_the_rest(tmp_path: Path) -> None:
    for name, source in {"anyloom_torn": BROKEN, "anyloom_burnt": "raise RuntimeError('burnt')"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / name / "plugin.py").write_text(source)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[anyloom]\n{name} = {name}.plugin\n")
    file = tmp_path / "schema.json"
    command = [sys.executable, "-m", "anyloom.cli.main", "schema", "--output", str(file)]
    result = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"schema: {file}\n"
    validator = Draft202012Validator(json.loads(file.read_text()))
    assert validator.is_valid(changed("model.encoders.eye", {"name": "torn", "anything": 1}))
    assert not validator.is_valid(changed("model.encoders.eye", {"name": "burnt"}))
    assert not validator.is_valid(changed("model.encoders.eye.frezze", True))
