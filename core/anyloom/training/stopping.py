"""Ends a run on a signal: saves where it is, says how to go on, and exits with the signal's status.

SIGTERM (a scheduler, ``kill``) exits with 143, SIGINT (Ctrl-C) with 130 and at once the second time; SIGUSR1, which
SLURM sends before the time limit, also puts the job back into the queue. Where the batch does not end in time, the run
ends without saving, and the checkpoint before stays.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import lightning
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging

from anyloom.training.console import tell

__all__ = ["SavedStop", "interrupts_restored"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


@contextmanager
def interrupts_restored() -> Iterator[None]:
    """Give Ctrl-C back its meaning afterwards: lightning switches it off when it has met one.

    >>> with interrupts_restored():
    ...     pass  # a fit
    """
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


class SavedStop(Callback):
    """Writes ``last.ckpt`` at the end of the batch in which a signal came, and ends the run.

    Args:
        grace: Seconds that the batch has to end.
    """

    def __init__(self, grace: float = 120.0) -> None:
        self.grace = grace
        self._received = 0
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Take the signals over."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._late)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Give the signals back."""
        self._give_back()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Give the signals back."""
        self._give_back()

    def _give_back(self) -> None:
        if self._received:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        """Remember a signal; a second Ctrl-C is not waited for."""
        if number == signal.SIGINT and self._received == signal.SIGINT:
            raise KeyboardInterrupt
        if not self._received:
            signal.setitimer(signal.ITIMER_REAL, self.grace)
        self._received = self._received or number
        tell(f"{signal.Signals(number).name}: saving at the end of this batch")

    def _late(self, number: int, frame: FrameType | None) -> None:
        """The batch has not ended in time."""
        tell(f"the batch did not end within {self.grace:g} s (faults.grace): the run ends with the checkpoint before")
        raise SystemExit(128 + self._received)

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stop here if a signal came."""
        self._stop_if_asked(trainer, log=trainer._logger_connector.update_train_step_metrics)

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Stop in the midst of a validation too; it is run again when training goes on.

        Several processes may have different numbers of batches here, so they stop together at its end.
        """
        if trainer.world_size == 1 and trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._stop_if_asked(trainer, before=lambda: _weights_back(trainer, pl_module))

    def _stop_if_asked(
        self,
        trainer: lightning.Trainer,
        log: Callable[[], None] | None = None,
        before: Callable[[], None] | None = None,
    ) -> None:
        """Save and leave, all processes together although the signal may have reached one alone.

        Args:
            trainer: The trainer.
            before: Called before anything is saved.
            log: Writes what the batch logged, which lightning would do after this hook.
        """
        asked = self._received != 0
        if trainer.world_size > 1:
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        if not asked:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)  # what is being written is written
        path = _place(trainer)
        if before is not None:
            before()
        trainer.save_checkpoint(path)
        trainer.strategy.checkpoint_io.teardown()  # waits for a writer in the background
        if log is not None:
            trainer._logger_connector.on_batch_end()
            log()
        if trainer.is_global_zero:
            _report(path, self._received)
        raise SystemExit(128 + (self._received or signal.SIGTERM))


def _weights_back(trainer: lightning.Trainer, module: lightning.LightningModule) -> None:
    """Let averages and weights change places again: meanwhile, a checkpoint would take one for the other."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, WeightAveraging):
            callback.on_validation_epoch_end(trainer, module)


def _place(trainer: lightning.Trainer) -> Path:
    """Where ``ckpt_path: last`` looks; without a folder of checkpoints the run's own."""
    folders = [c.dirpath for c in trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint) and c.dirpath]
    return Path(folders[0] if folders else trainer.default_root_dir) / "last.ckpt"


def _report(path: Path, number: int) -> None:
    tell(f"stopped at a step that is saved; go on with: ckpt_path={path}")
    job = os.environ.get("SLURM_JOB_ID", "")
    if number == signal.SIGUSR1 and job.isdigit() and (command := shutil.which("scontrol")):
        subprocess.run([command, "requeue", job], check=False, timeout=60)
