"""Looks at a run every so many steps and names what would make it end in noise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch.optim import Optimizer

from anyloom.interfaces.llm import LLMOutput
from anyloom.network.network import Network
from anyloom.sequence.batch import Batch
from anyloom.training.console import tell
from anyloom.training.parallel import is_sharded
from anyloom.training.suite_runs import undisturbed
from anyloom.training.watching.batches import batch_findings
from anyloom.training.watching.finding import Finding
from anyloom.training.watching.learning import (
    Sampled,
    gradient_findings,
    head_findings,
    prediction_findings,
    trend_findings,
)

__all__ = ["Watch"]


class Watch(Callback):
    """Says in one line each what is wrong, once; is silent where nothing is.

    Before the first step: labels, weights of the loss, features against what their encoder declares. Every so many
    steps: the loss of the first batch, under the same noise each time (logged as ``watch/<term>``), predictions,
    gradients, whether weights move. Between looks it waits for nothing, and neither the weights nor any chance of the
    run depend on it.

    Args:
        every: Steps between two looks.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.found: dict[tuple[str, str], Finding] = {}
        self._fixed: Any = None
        self._first: dict[str, float] = {}
        self._sampled: Sampled | None = None
        self._step = -1
        self._rates: list[float] = []  # since the last look, as the optimizer used them
        self._read: set[str] = set()
        self._made: set[str] = set()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Keep the first batch and look at it; note what the others hold."""
        if isinstance(batch, Batch):
            self._read |= {name for name, media in batch.media.items() if len(media.read)}
            self._made |= {name for name, media in batch.media.items() if len(media.made)}
        if self._fixed is None:
            self._fixed, self._step = batch, trainer.global_step
            self._look(trainer, pl_module, first=True)

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer: Optimizer
    ) -> None:
        """Look at the gradients of a step after which there is a look."""
        self._rates += [float(group["lr"]) for group in optimizer.param_groups]
        model = getattr(pl_module, "model", None)
        both, self._read, self._made = self._read & self._made, set(), set()
        if isinstance(model, Network) and (trainer.global_step + 1) % self.every == 0 and not is_sharded(model):
            self._tell(trainer, gradient_findings(model, both))

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look, after every so many steps."""
        step = trainer.global_step
        if step != self._step and step % self.every == 0:
            self._step = step
            self._look(trainer, pl_module, first=False)

    def _look(self, trainer: lightning.Trainer, module: Any, *, first: bool) -> None:
        try:
            if self._sampled is not None:
                self._tell(trainer, self._sampled.findings(module, trainer.global_step, self._rates))
            self._sampled = Sampled(module, trainer.global_step)
            self._rates, rates = [], self._rates
            model = getattr(module, "model", None)
            if isinstance(model, Network) and isinstance(self._fixed, Batch):
                with undisturbed(model):
                    self._look_at_model(trainer, model, self._fixed, rates, first=first)
        except torch.OutOfMemoryError:
            tell("note: there is no memory for a look at the first batch, so faults of this run are not named")
            self.every, self._fixed = 1 << 62, ()

    def _look_at_model(
        self, trainer: lightning.Trainer, model: Network, batch: Batch, rates: list[float], *, first: bool
    ) -> None:
        encoded = {name: model.encode(name, media) for name, media in batch.media.items()}
        if first:
            self._tell(trainer, batch_findings(model, batch, encoded))
            self._tell(trainer, head_findings(model, trainer.optimizers))
        kept: list[LLMOutput] = []
        hook = model.llm.register_forward_hook(lambda _, inputs, output: kept.append(output))
        try:
            losses = model(batch)
        finally:
            hook.remove()
        now = {name: float(term.mean) for name, term in losses.terms.items()}
        now["loss"] = float(losses.total())
        self._first = self._first or now
        for logger in trainer.loggers:
            logger.log_metrics({f"watch/{name}": value for name, value in now.items()}, step=trainer.global_step)
        self._tell(trainer, trend_findings(self._first, now, rates))
        seen = {
            name: (model.hidden_of(name, media, kept[0].hidden), features[media.made], before)
            for name, media in batch.media.items()
            if len(media.made) and (features := encoded[name].wanted) is not None
            for before in [model.before(name, media, encoded[name], media.made)]
        }
        continuous = {name: own for name, own in seen.items() if model.space(name).codes is None}
        self._tell(trainer, prediction_findings(model, continuous, trainer.global_step))

    def _tell(self, trainer: lightning.Trainer, findings: Iterable[Finding]) -> None:
        for finding in findings:
            if finding.key not in self.found:
                self.found[finding.key] = finding
                if trainer.is_global_zero:
                    tell(finding.line(trainer.global_step))
