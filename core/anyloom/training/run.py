"""Runs LightningCLI on a composed configuration."""

from __future__ import annotations

import copy
import signal
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import torch
from jsonargparse import ArgumentError
from lightning.fabric.plugins import CheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.plugins.io import AsyncCheckpointIO
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch.distributed.constants import default_pg_timeout

from anyloom.building import build_named, component_class
from anyloom.checking.preflight import section_problems
from anyloom.config.files import require_files
from anyloom.config.schema import ProjectConfig
from anyloom.data.module import AnyToAnyData
from anyloom.errors import AnyloomError, CheckpointError, ConfigError, combine
from anyloom.interfaces.module import TrainingModule
from anyloom.options import split_name, validate
from anyloom.storage.space import require_room
from anyloom.training.answers import AnswerWriter
from anyloom.training.callbacks import ConfigWriter, RandomState, UnevenValidation
from anyloom.training.checkpoint_files import CheckpointFiles, newest_good
from anyloom.training.console import tell, without_noise
from anyloom.training.data_ledger import DataLedger
from anyloom.training.exact_resume import KeptLogs, OpenWindow, PendingValidation
from anyloom.training.finite import FiniteSteps, NonFiniteError
from anyloom.training.machines import say_who_is_waited_for
from anyloom.training.meters import Meters
from anyloom.training.outputs import OutputGuard, ResultWriter
from anyloom.training.outside_errors import translated
from anyloom.training.progress_lines import Explosions, ProgressLines
from anyloom.training.resuming import resolved
from anyloom.training.sharded import NAME, FullyShardedStrategy
from anyloom.training.splitting import BatchSplitter
from anyloom.training.stopping import SavedStop, interrupts_restored
from anyloom.training.watching.watch import Watch

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
        """Build data, module and trainer, and find the checkpoint to go on from."""
        self.config_init = self.parser.instantiate_classes(self.config)
        self.trainer = self.instantiate_trainer()
        # with shards every process reads what the first one has chosen
        verify = self.trainer.is_global_zero or not isinstance(self.trainer.strategy, FullyShardedStrategy)
        checkpoint = resolved(self.project.ckpt_path, self.trainer.callbacks, verify=verify)  # type: ignore[attr-defined]
        self.config_init[self.subcommand]["ckpt_path"] = checkpoint
        self.datamodule = AnyToAnyData(self.project.data, self.project.seed_everything)
        self.model = training_module(self.module_options, self.project.model)
        if isinstance(splitter := getattr(self.model, "splitter", None), BatchSplitter):
            splitter.enabled = self.project.faults.out_of_memory == "split"

    def instantiate_trainer(self, **kwargs: Any) -> lightning.Trainer:
        """Build the trainer.

        Raises:
            anyloom.errors.ConfigError: lightning refuses the options: an unknown strategy, a missing accelerator.
        """
        given = self._get(self.config_init, "trainer", default={}).get("plugins") or []
        plugins = _with_checkpoint_files(list(given) if isinstance(given, list | tuple) else [given], self.project)
        try:
            trainer = super().instantiate_trainer(plugins=plugins, **kwargs)
        except AnyloomError:
            raise
        except (MisconfigurationException, ValueError, TypeError, ImportError) as error:
            raise ConfigError(" ".join(str(error).split()), where="trainer") from error
        if trainer.num_nodes > 1:
            say_who_is_waited_for(trainer, self.project.faults.timeout)
        if getattr(trainer.strategy, "_timeout", None) == default_pg_timeout:
            trainer.strategy._timeout = timedelta(seconds=self.project.faults.timeout)  # type: ignore[attr-defined]
        return trainer


def _with_checkpoint_files(plugins: list[Any], project: ProjectConfig) -> list[Any]:
    """The trainer's plugins with our way to write checkpoints, which one that writes in the background gets too."""
    files = CheckpointFiles(project.faults.disk_full, project.faults.patience)
    own = [p for p in plugins if isinstance(p, CheckpointIO)]
    for plugin in own:
        if isinstance(plugin, AsyncCheckpointIO) and plugin.checkpoint_io is None:
            plugin.checkpoint_io = files
    return plugins if own else [*plugins, files]


def run(subcommand: str, sections: Mapping[str, Any], *, answers: Path | None = None) -> LightningCLI:
    """Run ``fit``, ``validate``, ``test`` or ``predict`` on composed sections.

    Args:
        subcommand: One of the four.
        sections: The configuration, without stages.
        answers: Folder where ``predict`` writes its answers.

    Raises:
        anyloom.errors.ConfigError: Sections have unknown keys or wrong values; names the YAML keys.
        anyloom.errors.CheckpointError: A place cannot be written to, or a checkpoint cannot be gone on from.
        anyloom.training.finite.NonFiniteError: A loss or gradient became NaN; the weights are as they were before.
        anyloom.training.outside_errors.InterruptedRunError: Memory, a data worker or another process gave out.
        KeyboardInterrupt: Ctrl-C ended the run.
        SystemExit: Another signal did; the status is 128 + its number.
    """
    problems = section_problems(sections)
    if problems:
        raise combine(problems)
    require_files(sections)
    project = validate(ProjectConfig, sections, where="")
    if project.suite is not None:
        raise ConfigError("this is an evaluation suite", where="suite", fix="use 'anyloom evaluate MODEL --suite ...'")
    root = project.trainer.get("default_root_dir")
    for place in (answers, *((project.result, root) if subcommand == "fit" else ())):
        if place is not None:
            require_room(Path(place))
    options = project.module if subcommand == "fit" else _trained(project)
    leave_out: list[int] = []
    while True:
        try:
            return _tried(subcommand, sections, project, options, answers, leave_out)
        except NonFiniteError as error:
            project = _rolled_back(error, project, leave_out)


def _rolled_back(error: NonFiniteError, project: ProjectConfig, leave_out: list[int]) -> ProjectConfig:
    """The project that goes on from the last good checkpoint and leaves the bad step out, if that is the policy.

    Raises:
        NonFiniteError: It is not, or has been tried often enough.
    """
    faults = project.faults
    if faults.non_finite != "roll-back" or len(leave_out) >= faults.budget or error.several_processes:
        raise error
    leave_out.append(error.step)
    good = [path for folder in error.folders if (path := newest_good(folder)[0]) is not None]
    newest = str(max(good, key=lambda p: p.stat().st_mtime_ns)) if good else None
    tell(f"{error.where}: {error.what}; rolling back to {newest or 'the beginning'}")
    return project.model_copy(update={"ckpt_path": newest})


def _tried(
    subcommand: str,
    sections: Mapping[str, Any],
    project: ProjectConfig,
    options: dict[str, Any],
    answers: Path | None,
    leave_out: list[int],
) -> LightningCLI:
    """One run, with every error that has a clear form in that form."""
    extra = {"return_predictions": False} if subcommand == "predict" and answers is not None else {}
    try:
        with interrupts_restored(), without_noise(resuming=project.ckpt_path is not None):
            return _CommandLine(
                project,
                options,
                seed_everything_default=project.seed_everything,
                args={"subcommand": subcommand, subcommand: {**_lightning_config(project), **extra}},
                trainer_defaults={"callbacks": _callbacks(project, sections, answers, leave_out)},
                load_from_checkpoint_support=False,
            )
    except SIGTERMException as error:  # before the first step, or after the last
        raise SystemExit(128 + signal.SIGTERM) from error
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt) or error.code == 128 + signal.SIGINT:
            raise KeyboardInterrupt from error
        raise
    except CheckpointError as error:
        if subcommand == "fit" or error.where != str(project.result):
            raise
        fix = "name what 'fit' has written of this config: result=FOLDER, and --stage NAME if it has stages"
        raise CheckpointError(error.what, where=error.where, fix=fix) from error
    except ArgumentError as error:
        raise ConfigError(" ".join(str(error).split()), where="trainer") from error
    except Exception as error:
        clear = translated(error, project.ckpt_path)
        if clear is None:
            raise
        raise clear from error


def _callbacks(
    project: ProjectConfig, sections: Mapping[str, Any], answers: Path | None, leave_out: list[int]
) -> list[Any]:
    """What every run gets. The order matters: random numbers are restored first, and a stop saves last."""
    faults, result = project.faults, None if project.result is None else Path(project.result)
    callbacks: list[Any] = [
        RandomState(project.seed_everything),
        ConfigWriter(sections),
        OutputGuard(result),
        UnevenValidation(),
        FiniteSteps(faults.budget if faults.non_finite == "skip" else 0, leave_out),
        KeptLogs(),
        OpenWindow(),
        PendingValidation(),
        Explosions(),
        DataLedger(),
        Meters(),
    ]
    if faults.watch:
        callbacks.append(Watch(faults.watch))
    if project.trainer.get("enable_progress_bar") is not False:
        callbacks.append(ProgressLines())
    if result is not None:
        callbacks.append(ResultWriter(result))
    if answers is not None:
        callbacks.append(AnswerWriter(answers))
    return [*callbacks, SavedStop(faults.grace)]


def _lightning_config(project: ProjectConfig) -> dict[str, Any]:
    """What LightningCLI parses. It would read a checkpoint that it is told of itself, so it is not."""
    trainer = {**_strategy(project.trainer), **copy.deepcopy(project.trainer)}  # jsonargparse writes into it
    if trainer.get("strategy") == NAME:
        trainer["strategy"] = {"class_path": f"{FullyShardedStrategy.__module__}.{FullyShardedStrategy.__name__}"}
    return {"seed_everything": project.seed_everything, "trainer": trainer}


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
    tell(f"note: {project.result} is not there yet; parts without weights are random")
    return project.module
