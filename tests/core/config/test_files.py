"""The ``files:`` section: what a config names and does not ship."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anyloom import AnyToAnyModel
from anyloom.cli.main import main
from anyloom.config.files import require_files, used_files
from anyloom.errors import CheckpointError, ConfigError
from parts import image_decoder_options
from projects import sections, write_config


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """A project whose decoder's weights are not there."""
    made = sections(tmp_path)
    folder = tmp_path / "elsewhere"
    made["model"]["decoders"] = {"brush": image_decoder_options(weights=f"{folder}/brush")}
    made["model"]["modalities"]["image"]["decoder"] = "brush"
    made["files"] = {
        "brush": {"path": f"{folder}/brush", "get": f"fetch brush --to {folder}/brush", "licence": "OpenRAIL"},
        "unused": {"path": f"{folder}/unused", "get": "nowhere"},
    }
    return made


def test_only_files_that_options_name_are_used(config: dict[str, Any]) -> None:
    assert list(used_files(config)) == ["brush"]
    config["model"]["decoders"]["brush"]["weights"] += "/inner/model.safetensors"
    assert list(used_files(config)) == ["brush"]
    config["model"]["decoders"]["brush"]["weights"] = None
    assert used_files(config) == {}
    config["module"] = {"start_from": f"{config['files']['brush']['path']}#decoders.brush"}
    assert list(used_files(config)) == ["brush"], "one part of a saved model"


def test_files_that_are_there_are_no_problem(config: dict[str, Any]) -> None:
    Path(config["files"]["brush"]["path"]).mkdir(parents=True)
    require_files(config)


def test_check_says_how_to_get_what_is_missing(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, config)
    assert main(["check", path]) == 2
    lines = capsys.readouterr().out.splitlines()
    brush = config["files"]["brush"]["path"]
    told = [x for x in lines if x.startswith(("missing: ", "to get "))]
    assert told == [f"missing: model.decoders.brush: there is no {brush}", f"to get {brush}: fetch brush --to {brush}"]
    assert [x.split() for x in lines if x.startswith(f"  {brush}")] == [[brush, "OpenRAIL", "missing"]]
    assert main(["check", path, "--json"]) == 2
    (entry,) = json.loads(capsys.readouterr().out)["files"]
    assert entry == {"key": "brush", **config["files"]["brush"], "present": False}


@pytest.mark.parametrize("command", ["fit", "test"])
def test_training_says_how_to_get_what_is_missing(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([command, write_config(tmp_path, config)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    brush = config["files"]["brush"]["path"]
    reads = "model.decoders.brush.weights reads it"
    assert line == f"error: {brush}: this is not there; {reads}. To fix: fetch brush --to {brush}"


def test_a_model_says_how_to_get_what_is_missing(config: dict[str, Any]) -> None:
    with pytest.raises(
        CheckpointError, match=r"this is not there; model.decoders.brush.weights reads it. To fix: fetch brush"
    ):
        AnyToAnyModel.from_config(config)


def test_an_entry_without_words_on_how_to_get_it_is_refused(config: dict[str, Any]) -> None:
    del config["files"]["brush"]["get"]
    with pytest.raises(ConfigError, match=r"files.brush.get: this option is required"):
        require_files(config)
