"""Runs a suite every so many steps of a fit: curves in the loggers, a page with answers in the run's folder.

A suite in a run asks what it lets choose by (``suite.choose``): what is looked at while something can still be chosen
is not what is reported in the end. Neither the weights nor any chance of the run depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import lightning
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from pydantic import PositiveInt, model_validator
from torch import nn

from anyloom.errors import ConfigError
from anyloom.evaluation.draw import pick
from anyloom.evaluation.measure import measure
from anyloom.evaluation.page import make_report
from anyloom.evaluation.results import Results
from anyloom.evaluation.runner import able, answers_to_show, control_of, metrics_of, results_of, samples_of
from anyloom.evaluation.suite import Suite, read_suite
from anyloom.interfaces.component import ComponentConfig
from anyloom.interfaces.dataset import Sample
from anyloom.interfaces.metric import Evaluated
from anyloom.media.files import io_for
from anyloom.report import write_report
from anyloom.training.parallel import gathered_parameters

__all__ = ["SuiteInFit", "SuiteRuns", "undisturbed"]


class SuiteInFit(ComponentConfig):
    """A suite that a fit runs.

    Args:
        suite: Recipe or file.
        every: Steps of the optimizer between two runs.
        queries: Samples per task, at most.
        split: Which split is asked; by default what the suite lets choose by.
        overrides: Of the suite, such as ``variables.data=FOLDER``.
    """

    suite: str
    every: PositiveInt
    queries: PositiveInt = 50
    split: str | None = None
    overrides: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        try:
            self.read()
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return self

    def read(self) -> Suite:
        """Read the suite, with the queries and the split that are asked here."""
        suite = read_suite(self.suite, [*self.overrides, f"suite.queries={self.queries}"])
        return suite.model_copy(update={"split": self.split or suite.choose})


class SuiteRuns(lightning.Callback):
    """Measures the model of an :class:`anyloom.training.module.AnyToAnyModule` while it trains.

    Args:
        key: What the user calls it; curves are logged as ``suite/<key>/<value>``.
        config: What is run, and when.
    """

    def __init__(self, key: str, config: SuiteInFit) -> None:
        self.key, self.every = key, config.every
        self.suite = config.read()
        self._samples: list[Sample] | None = None
        self._step = 0

    @property
    def state_key(self) -> str:
        """One for each key: a run may have several suites."""
        return f"{type(self).__name__}/{self.key}"

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Find the samples before the first step, so that a mistake is told at once."""
        every, _ = able(pl_module.model, samples_of(self.suite))
        if not every:
            what = f"the split {self.suite.split!r} has no samples that this model can answer"
            raise ConfigError(what, where=f"module.suites.{self.key}.split", fix="name another")
        self._samples = pick(every, self.suite.queries, 0, limits=self.suite.limits)
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """Run it, after every so many steps."""
        step = trainer.global_step
        if step == self._step or step % self.every:
            return
        self._step = step
        with undisturbed(pl_module.model):
            results, shown = self._measured(trainer, pl_module.model)
        folder = Path(trainer.log_dir or trainer.default_root_dir)  # asks the other processes, so all ask
        if trainer.is_global_zero:
            results.facts |= {"title": self.suite.title, "split": self.suite.split, "step": step}
            self._tell(trainer, folder / "suites" / self.key / f"step-{step:07d}", results, shown)

    def _measured(self, trainer: lightning.Trainer, model: Any) -> tuple[Results, list[Evaluated]]:
        samples: Sequence[Sample] = self._samples or ()
        metrics = metrics_of(self.suite, samples)
        for metric in metrics.values():
            metric.to(model.device)
        own = samples[trainer.global_rank :: trainer.world_size]
        found = measure(model, own, metrics, batch_size=self.suite.batch_size)
        results = results_of(metrics, found)
        results.merge(
            control_of(model, self.suite, samples, seed=0, rank=trainer.global_rank, processes=trainer.world_size)
        )
        shown = []
        if trainer.is_global_zero:
            shown = answers_to_show(model, self.suite, samples, seed=0, advance=lambda *_: None)
        return results, shown

    def _tell(self, trainer: lightning.Trainer, folder: Path, results: Results, shown: Sequence[Evaluated]) -> None:
        step = trainer.global_step
        for logger in trainer.loggers:
            values = {f"suite/{self.key}/{name}": value.value for name, value in results.values.items()}
            logger.log_metrics(values, step=step)
            _show(logger, f"suite/{self.key}", shown, step)
        folder.mkdir(parents=True, exist_ok=True)
        results.write(folder / "results.json")
        write_report(folder / "report.html", make_report(self.suite, results, shown))


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Answer in eval mode, and leave modes and torch's random state as they were.

    >>> layer = nn.Dropout(0.5)
    >>> with undisturbed(layer):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.random.fork_rng(), torch.no_grad(), gathered_parameters(model):
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def _show(logger: Any, name: str, shown: Sequence[Evaluated], step: int) -> None:
    """Show answers in a logger that is TensorBoard, as their modality knows how to."""
    if not isinstance(logger, TensorBoardLogger):
        return
    for number, evaluated in enumerate(shown):
        for place, media in enumerate(evaluated.answer.media):
            if media.data is not None:  # else no decoder made it
                io_for(media.modality).to_board(media, logger.experiment, f"{name}/{number}-{place}", step)
