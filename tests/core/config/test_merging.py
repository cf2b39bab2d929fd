"""What a later config changes, and what it replaces."""

from __future__ import annotations

from typing import Any

import pytest

from anyloom.config.compose import compose
from anyloom.config.merging import is_component, merge
from anyloom.errors import ConfigError


@pytest.mark.parametrize(
    "key",
    [
        "model.llm", "model.encoders.eye", "model.decoders.brush", "model.modalities.image.representation",
        "model.modalities.image.representation.output_projector",
        "module", "module.encoder", "module.decoder", "module.metrics.psnr",
        "module.metrics.psnr.dataset", "data.datasets.mine", "stages.eye.module", "stages.eye.model.llm",
        "stages.eye.module.encoder", "suite.metrics.psnr", "suite.data.datasets.mine",
    ],
)  # fmt: skip
def test_a_component_with_another_name_is_another_component(key: str) -> None:
    names = key.split(".")
    assert is_component(tuple(names))
    old, new = {"name": "a", "size": 1}, {"name": "b", "width": 2}
    assert at(merge(nest(names, old), nest(names, new)), names) == new
    assert at(merge(nest(names, old), nest(names, {"name": "a", "width": 2})), names) == {**old, "width": 2}
    assert at(merge(nest(names, old), nest(names, {"class_path": "a.B"})), names) == {"class_path": "a.B"}


@pytest.mark.parametrize(
    "key",
    [
        "variables.x", "variables.encoders.x", "trainer.logger.init_args", "files.x", "model.loss", "model.couple.both",
        "model.llm.architecture.encoder", "module.optimizer.init_args", "data", "model.modalities.image",
        "stages.module.trainer.logger.init_args", "stages.encoder.variables.x", "model.encoders.eye.schedule",
        "trainer.callbacks.0.init_args.dataset",
    ],
)  # fmt: skip
def test_a_name_elsewhere_is_a_value(key: str) -> None:
    names = key.split(".")
    old, new = {"name": "a", "size": 1}, {"name": "b", "width": 2}
    assert at(merge(nest(names, old), nest(names, new)), names) == {"name": "b", "size": 1, "width": 2}


def test_another_class_path_replaces_everywhere_and_the_same_one_keeps() -> None:
    old = {"trainer": {"logger": {"class_path": "CSVLogger", "init_args": {"save_dir": "x", "name": "y"}}}}
    assert compose([old], ["trainer.logger.init_args.name=z"])["trainer"]["logger"]["init_args"]["save_dir"] == "x"
    wandb = {"class_path": "WandbLogger", "init_args": {"project": "p"}}
    assert compose([old, {"trainer": {"logger": wandb}}])["trainer"]["logger"] == wandb


def test_a_component_that_wraps_a_class_keeps_its_name() -> None:
    old = {"module": {"metrics": {"x": {"name": "torchmetrics", "class_path": "a.B", "init_args": {"n": 1}}}}}
    made = compose([old], ["module.metrics.x.class_path=a.C"])["module"]["metrics"]["x"]
    assert made == {"name": "torchmetrics", "class_path": "a.C"}
    made = compose([old], ["module.metrics.x={class_path: a.B, init_args: {m: 2}}"])["module"]["metrics"]["x"]
    assert made == {"name": "torchmetrics", "class_path": "a.B", "init_args": {"n": 1, "m": 2}}
    made = compose([old], ["module.metrics.x={name: torchmetrics, class_path: a.C}"])["module"]["metrics"]["x"]
    assert made == {"name": "torchmetrics", "class_path": "a.C"}
    made = compose([old], ["module.metrics.x.init_args.n=2"])["module"]["metrics"]["x"]
    assert made == {"name": "torchmetrics", "class_path": "a.B", "init_args": {"n": 2}}
    made = compose([old], ["module.metrics.x={name: psnr}"])["module"]["metrics"]["x"]
    assert made == {"name": "psnr"}


def test_another_model_type_is_another_architecture() -> None:
    llama = {"model_type": "llama", "hidden_size": 192, "num_hidden_layers": 3}
    gpt2 = {"model_type": "gpt2", "n_embd": 64, "n_layer": 2}
    old = {"model": {"llm": {"name": "llama", "tokenizer": "x", "architecture": llama}}}
    changed = compose([old, {"model": {"llm": {"architecture": gpt2}}}])["model"]["llm"]
    assert changed == {"name": "llama", "tokenizer": "x", "architecture": gpt2}
    words = "model.llm.architecture={model_type: gpt2, n_embd: 64, n_layer: 2}"
    assert compose([old], [words])["model"]["llm"]["architecture"] == gpt2
    same = compose([old], ["model.llm.architecture={model_type: llama, hidden_size: 64}"])["model"]["llm"]
    assert same["architecture"] == {**llama, "hidden_size": 64}
    inner = {"model_type": "outer", "text_config": llama}
    nested = {"model": {"llm": {"name": "llama", "architecture": inner}}}
    other = compose([nested], ["model.llm.architecture.text_config={model_type: gpt2, n_embd: 8}"])["model"]["llm"]
    assert other["architecture"] == {"model_type": "outer", "text_config": {"model_type": "gpt2", "n_embd": 8}}


def test_an_override_reaches_into_lists_and_keys_that_are_numbers() -> None:
    callbacks = [{"class_path": "A", "init_args": {"n": 1, "m": 2}}, {"class_path": "B"}]
    base = {"trainer": {"callbacks": callbacks}, "variables": {"examples": {0: 5, 1: 55}}}
    made = compose([base], ["trainer.callbacks.0.init_args.n=3", "variables.examples.1=7"])
    assert made["trainer"]["callbacks"] == [{"class_path": "A", "init_args": {"n": 3, "m": 2}}, {"class_path": "B"}]
    assert made["variables"]["examples"] == {0: 5, 1: 7}
    with pytest.raises(ConfigError, match="the list has 2 items") as caught:
        compose([base], ["trainer.callbacks.2.init_args.n=3"])
    assert caught.value.where == "trainer.callbacks.2"


def nest(names: list[str], value: Any) -> dict[str, Any]:
    for name in reversed(names):
        value = {name: value}
    return value  # type: ignore[no-any-return]


def at(value: Any, names: list[str]) -> Any:
    for name in names:
        value = value[name]
    return value
