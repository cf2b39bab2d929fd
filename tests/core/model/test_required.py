"""A saved model says which packages its components come from; one that is missing is named by its own package."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from anyloom import AnyToAnyModel
from anyloom.errors import CheckpointError
from anyloom.network.config import ModelConfig
from anyloom.options import validate
from parts import image_decoder_options, model_options


@pytest.fixture
def saved(tokenizer_folder: Path, tmp_path: Path) -> Path:
    options = model_options(tokenizer_folder, decoders={"brush": image_decoder_options()})
    options["modalities"]["image"]["decoder"] = "brush"
    AnyToAnyModel(validate(ModelConfig, options, where="model")).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def changed(folder: Path, requires: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "requires": requires}))


def test_packages_are_named_with_versions_and_components(saved: Path) -> None:
    (one,) = json.loads((saved / "config.json").read_text())["requires"]
    assert one["package"] == "anyloom"
    assert one["version"] == version("anyloom")
    assert {"llm llama", "decoder sd-unclip", "modality image", "modality audio"} <= set(one["components"])
    assert AnyToAnyModel.from_pretrained(saved, trust=True).decoder("image") is not None


def test_what_is_missing_is_named_by_its_package_in_one_line(saved: Path) -> None:
    changed(saved, [{"package": "acme-painters", "version": "1.2", "components": ["decoder oil", "decoder sd-unclip"]}])
    with pytest.raises(CheckpointError, match=r"not installed here: the decoder oil of acme-painters 1\.2") as caught:
        AnyToAnyModel.from_pretrained(saved, trust=True)
    assert "pip install 'acme-painters==1.2'" in str(caught.value)
    assert "if you trust" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "requires",
    [
        {},
        ["anyloom"],
        [{"package": "x; rm -rf /", "version": "1", "components": []}],
        [{"package": "--index-url=http://evil", "version": "1", "components": ["llm x"]}],
        [{"package": "x", "version": "1' 'evil", "components": ["llm x"]}],
        [{"package": "x", "version": "1", "components": ["llm"]}],
        [{"package": "x", "version": "1"}],
    ],
)
def test_what_could_be_no_requirement_is_refused(saved: Path, requires: Any) -> None:
    changed(saved, requires)
    with pytest.raises(CheckpointError, match="'requires' should be a list"):
        AnyToAnyModel.from_pretrained(saved, trust=True)


def test_models_that_say_nothing_are_read(saved: Path) -> None:
    file = saved / "config.json"
    record = json.loads(file.read_text())
    del record["requires"]
    file.write_text(json.dumps(record))
    AnyToAnyModel.from_pretrained(saved, trust=True)
