"""Runs LightningCLI on a composed configuration."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from jsonargparse import ArgumentError
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from anyloom.building import build_named, component_class
from anyloom.checking.preflight import section_problems
from anyloom.config.files import require_files
from anyloom.config.schema import ProjectConfig
from anyloom.data.module import AnyToAnyData
from anyloom.errors import AnyloomError, ConfigError, combine
from anyloom.interfaces.module import TrainingModule
from anyloom.options import split_name, validate
from anyloom.training.answers import AnswerWriter
from anyloom.training.callbacks import ConfigWriter, RandomState, ResultWriter
from anyloom.training.console import without_noise

__all__ = ["run", "training_module"]


def training_module(module: dict[str, Any], model: dict[str, Any]) -> lightning.LightningModule:
    """Build the training module that the ``module:`` section names, with the ``model:`` section.

    Args:
        module: Name and options of the module component.
        model: The model section.
    """
    built: TrainingModule = build_named("module", module, where="module", model=model)
    return built


class _CommandLine(LightningCLI):
    """LightningCLI on a composed config. It parses and builds the trainer; anyloom builds the module and the data.

    jsonargparse would build every ``{class_path: ...}`` it sees, so it does not see their sections.
    """

    def __init__(self, project: ProjectConfig, module: dict[str, Any], **options: Any) -> None:
        self.project, self.module_options = project, module
        super().__init__(save_config_callback=None, parser_kwargs={"exit_on_error": False}, **options)

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the trainer's options alone."""
        parser.add_lightning_class_args(self.trainer_class, "trainer")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Take the config as it is, without a look at ``sys.argv``."""
        self.config = parser.parse_object(args)

    def instantiate_classes(self) -> None:
        """Build data, module and trainer."""
        self.config_init = self.parser.instantiate_classes(self.config)
        self.datamodule = AnyToAnyData(self.project.data)
        self.model = training_module(self.module_options, self.project.model)
        self.trainer = self.instantiate_trainer()

    def instantiate_trainer(self, **kwargs: Any) -> lightning.Trainer:
        """Build the trainer.

        Raises:
            anyloom.errors.ConfigError: lightning refuses the options: an unknown strategy, a missing accelerator.
        """
        try:
            return super().instantiate_trainer(**kwargs)
        except AnyloomError:
            raise
        except (MisconfigurationException, ValueError, TypeError, ImportError) as error:
            raise ConfigError(" ".join(str(error).split()), where="trainer") from error


def run(subcommand: str, sections: Mapping[str, Any], *, answers: Path | None = None) -> LightningCLI:
    """Run ``fit``, ``validate``, ``test`` or ``predict`` on composed sections.

    Args:
        subcommand: One of the four.
        sections: The configuration, without stages.
        answers: Folder where ``predict`` writes its answers.

    Raises:
        anyloom.errors.ConfigError: Sections have unknown keys or wrong values; names the YAML keys.
    """
    problems = section_problems(sections)
    if problems:
        raise combine(problems)
    require_files(sections)
    project = validate(ProjectConfig, sections, where="")
    _check_checkpoint(project)
    options = project.module if subcommand == "fit" else _trained(project)

    callbacks: list[Any] = [RandomState(project.seed_everything), ConfigWriter(sections)]
    if project.result is not None:
        callbacks.append(ResultWriter(project.result))
    if answers is not None:
        callbacks.append(AnswerWriter(answers))
    extra = {"return_predictions": False} if subcommand == "predict" and answers is not None else {}
    try:
        with without_noise(resuming=project.ckpt_path is not None):
            return _CommandLine(
                project,
                options,
                seed_everything_default=project.seed_everything,
                args={"subcommand": subcommand, subcommand: {**_lightning_config(project), **extra}},
                trainer_defaults={"callbacks": callbacks},
                load_from_checkpoint_support=False,
            )
    except (ArgumentError, MisconfigurationException) as error:
        raise ConfigError(" ".join(str(error).split()), where="trainer") from error


def _lightning_config(project: ProjectConfig) -> dict[str, Any]:
    config: dict[str, Any] = {
        "seed_everything": project.seed_everything,
        "trainer": {**_strategy(project.trainer), **project.trainer},
    }
    if project.ckpt_path is not None:
        config["ckpt_path"] = project.ckpt_path
    return config


def _strategy(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """The default strategy: batches differ in their modalities, so across processes parameters may go unused."""
    devices, nodes = trainer.get("devices") or "auto", trainer.get("num_nodes") or 1
    automatic = trainer.get("accelerator", "auto") != "cpu" and torch.cuda.device_count() > 1
    several = automatic if devices in ("auto", -1, "-1") else devices not in (1, "1")
    return {"strategy": "ddp"} if several or nodes > 1 else {}


def _trained(project: ProjectConfig) -> dict[str, Any]:
    """The module's options with what an earlier ``fit`` wrote; it wins over what that one started from."""
    if project.ckpt_path is not None or project.result is None:
        return project.module
    if Path(project.result).is_dir():
        name, _ = split_name(project.module, where="module")
        if "start_from" not in component_class("module", name, where="module").Config.model_fields:
            raise ConfigError(f"{name!r} cannot read its result again", where="module", fix="name another --stage")
        return {**project.module, "start_from": project.result}
    if project.module.get("start_from"):
        return project.module
    print(f"note: {project.result} is not there yet; parts without weights are random", file=sys.stderr)  # noqa: T201
    return project.module


def _check_checkpoint(project: ProjectConfig) -> None:
    path = project.ckpt_path
    if path is None or path in ("last", "best", "hpc") or path.startswith("registry"):
        return
    if not Path(path).exists():
        raise ConfigError(
            f"there is no checkpoint {path!r}", where="ckpt_path", fix="give a file, or 'last' for the newest one"
        )
