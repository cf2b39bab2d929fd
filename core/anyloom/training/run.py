"""Runs LightningCLI on a composed configuration."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import yaml
from jsonargparse import ArgumentError
from lightning.pytorch.cli import LightningCLI

from anyloom.building import build_named
from anyloom.config.schema import ProjectConfig
from anyloom.config.validation import validate
from anyloom.data.module import AnyToAnyData
from anyloom.errors import ConfigError, nearest
from anyloom.interfaces.module import TrainingModule
from anyloom.training.callbacks import RandomState, ResultWriter

__all__ = ["run", "training_module"]


def training_module(module: dict[str, Any], model: dict[str, Any]) -> lightning.LightningModule:
    """Build the training module that the ``module:`` section names, with the ``model:`` section.

    Args:
        module: Name and options of the module component.
        model: The model section.
    """
    built: TrainingModule = build_named("module", module, where="module", model=model)
    return built


def run(subcommand: str, sections: Mapping[str, Any]) -> LightningCLI:
    """Run ``fit``, ``validate``, ``test`` or ``predict`` on composed sections.

    Raises:
        anyloom.errors.ConfigError: A section has an unknown key or a wrong value; names the YAML key.
    """
    project = validate(ProjectConfig, sections, where="")
    config = _lightning_config(project)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        try:
            return LightningCLI(
                model_class=training_module,
                datamodule_class=AnyToAnyData,
                save_config_kwargs={"overwrite": True},
                seed_everything_default=project.seed_everything,
                parser_kwargs={"exit_on_error": False},
                args=[subcommand, "--config", str(file)],
                trainer_defaults={"callbacks": _callbacks(project)},
            )
        except ArgumentError as error:
            raise ConfigError(" ".join(str(error).split()), where="trainer") from error


def _callbacks(project: ProjectConfig) -> list[Any]:
    callbacks: list[Any] = [RandomState()]
    if project.result is not None:
        callbacks.append(ResultWriter(project.result))
    return callbacks


def _lightning_config(project: ProjectConfig) -> dict[str, Any]:
    known = [n for n in inspect.signature(lightning.Trainer.__init__).parameters if n != "self"]
    for key in project.trainer:
        if key not in known:
            raise ConfigError(
                f"lightning's Trainer has no option {key!r}", where=f"trainer.{key}", fix=nearest(key, known)
            )
    config: dict[str, Any] = {
        "seed_everything": project.seed_everything,
        "model": {"module": project.module, "model": project.model},
        "data": {"data": project.data.model_dump(mode="json")},
        "trainer": project.trainer,
    }
    if project.ckpt_path is not None:
        config["ckpt_path"] = project.ckpt_path
    return config
