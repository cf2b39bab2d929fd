"""Progress for a log file: a line now and then, where there is no terminal for a bar."""

from __future__ import annotations

import math
import sys
import time
from typing import Any, Final

import lightning
from lightning.pytorch.callbacks import Callback, Timer
from torch import Tensor

from anyloom.training.console import tell

__all__ = ["Explosions", "ProgressLines"]

_PERIOD: Final = 10.0
_FACTOR: Final = 10.0
_WHOLES: Final = 3.0
_SHARE: Final = 0.1


class ProgressLines(Callback):
    """Prints steps, losses and the time that is left, at most every ten seconds, and every validation's values.

    Only on the first process, and only where standard error is no terminal: there, lightning draws a bar.
    """

    def __init__(self) -> None:
        self._begun = self._shown = 0.0
        self._first = 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock."""
        self._begun, self._shown, self._first = time.monotonic(), -math.inf, trainer.global_step

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Print a line if it is time for one, or the last step."""
        now = time.monotonic()
        ended = trainer.global_step == trainer.max_steps
        if not _wanted(trainer) or (now - self._shown < _PERIOD and not ended):
            return
        self._shown = now
        done, total = trainer.global_step, trainer.estimated_stepping_batches
        per_step = (now - self._begun) / max(done - self._first, 1)
        seconds = min(per_step * (total - done), _time_left(trainer))
        left = f", {_duration(seconds)} left" if math.isfinite(seconds) else ""
        of = f"/{int(total)}" if math.isfinite(total) else ""
        values = _values(trainer.progress_bar_metrics)
        tell(f"step {done}{of}{values}, {per_step:.3g} s/step{left}")

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Print what was measured."""
        if _wanted(trainer) and not trainer.sanity_checking and trainer.state.fn == "fit":
            found = {k: v for k, v in trainer.callback_metrics.items() if k.startswith("val/")}
            tell(f"step {trainer.global_step} validated{_values(found)}")


class Explosions(Callback):
    """Remarks, once per loss term, that it has become many times what it was, and stays there.

    A term explodes when it is ten times its own mean and several times the whole loss, at two looks in a row. One that
    is next to nothing in most batches, as text is where answers are pictures, may jump when a batch has some.
    """

    def __init__(self) -> None:
        self._means: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._high: set[str] = set()
        self._remarked: set[str] = set()

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Look at the terms in the steps that are logged, where their values are on the host anyway."""
        if not trainer.is_global_zero or (trainer.global_step % max(trainer.log_every_n_steps, 1)):  # type: ignore[attr-defined]
            return
        whole = self._means.get("train/loss", 0.0)
        for name, value in trainer.callback_metrics.items():
            if name.startswith("train/") and isinstance(value, Tensor):
                self._look(name, float(value), trainer.global_step, whole)

    def _look(self, name: str, value: float, step: int, whole: float = 0.0) -> None:
        """Take in what a term is at a step, beside what the whole loss has been."""
        if self._last.get(name) == value:  # lightning repeats the last value of a term that a batch does not have
            return
        self._last[name] = value
        mean = self._means.setdefault(name, value)
        if not (mean > 0 and value > _FACTOR * mean and value > _WHOLES * whole):
            self._high.discard(name)
            self._means[name] = (1 - _SHARE) * mean + _SHARE * value
        elif name not in self._high:
            self._high.add(name)
        elif name not in self._remarked:
            self._remarked.add(name)
            tell(
                f"note: {name} is {value:.3g} at step {step}, {value / mean:.0f} times what it was; "
                "if it stays there, lower the learning rate or look at the samples"
            )


def _wanted(trainer: lightning.Trainer) -> bool:
    return trainer.is_global_zero and not sys.stderr.isatty()


def _time_left(trainer: lightning.Trainer) -> float:
    """Seconds until ``max_time`` ends training, which may be before the last step; infinite without one."""
    left = [c.time_remaining() for c in trainer.callbacks if isinstance(c, Timer)]  # type: ignore[attr-defined]
    return min((max(seconds, 0.0) for seconds in left if seconds is not None), default=math.inf)


def _values(metrics: Any) -> str:
    return "".join(f", {name} {float(value):.4g}" for name, value in metrics.items() if name != "v_num")


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> _duration(3725)
    '1:02:05'
    """
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
