"""What a stranger writes first: a module section without a name, a flow mapping without spaces, a bare name."""

from __future__ import annotations

import pytest
import torch
from pydantic import BaseModel
from torch import nn

from anyloom.building import build
from anyloom.config.compose import compose, require_sections
from anyloom.config.schema import OptimizerConfig
from anyloom.errors import CheckpointError, ConfigError, MediaError, PluginError
from anyloom.media.files import read_media
from anyloom.network.assembly import keyed
from anyloom.options import validate
from anyloom.storage.tensors import load_into


def test_a_module_section_without_a_name_is_of_the_default() -> None:
    composed = compose([{"model": {}}], ["module.optimizer.lr=1e-3"])
    assert composed["module"] == {"name": "any-to-any", "optimizer": {"lr": 0.001}}
    assert "module" not in compose([{"model": {}}])
    kept = compose([{"module": {"name": "conv-encoder"}}], ["module.width=2"])
    assert kept["module"] == {"name": "conv-encoder", "width": 2}


def test_a_mapping_without_spaces_is_named() -> None:
    with pytest.raises(ConfigError, match="write a space after the colon: model_type: gpt2"):
        compose([{"model": {}}], ["model.llm.architecture={model_type:gpt2,n_embd:32}"])
    spaced = compose([{"model": {}}], ["model.llm={a: 1, 'b:c': 2}"])
    assert spaced["model"]["llm"]["a"] == 1


def test_a_bare_name_where_options_stand_is_told_how_to_write_it() -> None:
    class Config(BaseModel):
        representation: dict[str, int] = {}

    with pytest.raises(ConfigError, match=r"write \{name: queries\} for a component"):
        validate(Config, {"representation": "queries"}, where="model")


def test_a_component_that_names_its_own_kind_is_not_named_twice() -> None:
    (problem,) = keyed(ConfigError("no codes", where="representation"), "model.modalities.image.representation")
    assert problem.where == "model.modalities.image.representation"
    (deeper,) = keyed(ConfigError("no codes", where="representation.n"), "model.modalities.image.representation")
    assert deeper.where == "model.modalities.image.representation.n"


@pytest.mark.parametrize("betas", [(0.9, 1.0), (0.9, 2.0), (-0.1, 0.9)])
def test_betas_are_those_that_torch_takes(betas: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="Invalid beta"):
        torch.optim.AdamW([nn.Parameter(torch.zeros(1))], betas=betas)
    with pytest.raises(ConfigError, match=r"module\.optimizer\.betas"):
        validate(OptimizerConfig, {"betas": list(betas)}, where="module.optimizer")


def test_a_whole_model_given_for_a_part_is_told_which_part() -> None:
    whole = {f"encoders.eye.{name}": torch.zeros(1) for name in ("weight", "bias")} | {"llm.head": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"name the part: runs/mine#encoders\.eye"):
        load_into(nn.Linear(1, 1), whole, where="runs/mine")


def test_words_for_a_mapping_of_options_are_not_taken_for_a_component() -> None:
    class Config(BaseModel):
        media: dict[str, str] = {}

    with pytest.raises(ConfigError, match="give a mapping of names to values"):
        validate(Config, {"media": "force"}, where="generate")


def test_wrong_types_from_python_are_one_line() -> None:
    for make, said in (
        (lambda: build("projector", "mlp"), "projector 'mlp': it is built with in_dim and out_dim"),
        (lambda: build("encoder", None), "a component is called by its name, got None"),  # type: ignore[arg-type]
        (lambda: build("encodr", "conv"), "no kind of component is called 'encodr'. To fix: did you mean 'encoder'?"),
        (lambda: compose([3]), "config: expected the path of a config, got 3"),  # type: ignore[list-item]
        (lambda: require_sections({"llm": {}}), "there is no section 'llm'. To fix: write {model: {llm: ...}}"),
        (lambda: require_sections({"modl": {}}), "did you mean 'model'?"),
        (lambda: read_media("x.png", 5), "a modality is called by its name, got 5"),  # type: ignore[arg-type]
        (lambda: read_media("."), "this is a folder, not a file"),
    ):
        with pytest.raises((ConfigError, MediaError, PluginError)) as caught:
            make()
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)
