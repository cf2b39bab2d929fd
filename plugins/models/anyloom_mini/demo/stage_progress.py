"""One line per stage while it trains, and what the stage cost."""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import ProgressBar

from anyloom.training.optimizer import progress

__all__ = ["StageProgress", "clock", "resident_memory"]

_BAR = 20
_REDRAW_SECONDS = 0.25


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(75.4)
    '1:15'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def resident_memory() -> int:
    """Bytes of memory that this process holds now; where the system does not say, the most it ever held."""
    status = Path("/proc/self/statm")
    if status.is_file():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


class StageProgress(ProgressBar):
    """Draws one line that is overwritten; without a terminal, a line per quarter of the stage.

    The cost (seconds, steps, memory, trained parameters) travels with checkpoints, so a resumed stage counts
    everything, and is written to a file when fitting ends.

    Args:
        title: Begins the line.
        before: Seconds the whole run has taken before this stage.
        after: Seconds expected for what follows.
        planned: Seconds expected for this stage; None if unknown.
        record: JSON file for the cost.
    """

    def __init__(self, title: str, before: float, after: float, planned: float | None, record: str) -> None:
        super().__init__()
        self.title, self.before, self.after, self.planned = title, before, after, planned
        self.record = Path(record)
        self.earlier, self.memory = 0.0, 0
        self._started = self._drawn = time.monotonic()
        self._quarter = 0
        self._enabled = True

    @property
    def seconds(self) -> float:
        """Training time so far, earlier attempts included."""
        return self.earlier + time.monotonic() - self._started

    def disable(self) -> None:
        """Draw nothing."""
        self._enabled = False

    def enable(self) -> None:
        """Draw."""
        self._enabled = True

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"seconds": self.seconds, "memory": self.memory}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.earlier, self.memory = state_dict["seconds"], state_dict["memory"]

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clock."""
        self._started = time.monotonic()
        self._draw(trainer, final=False)

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *args: Any) -> None:
        """Take note of memory, redraw now and then."""
        self.memory = max(self.memory, resident_memory())
        if time.monotonic() - self._drawn > _REDRAW_SECONDS:
            self._draw(trainer, final=False)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write the cost and the last line."""
        if trainer.interrupted or not trainer.is_global_zero:
            return
        parameters = sum(p.numel() for p in pl_module.parameters() if p.requires_grad)
        cost = {"seconds": self.seconds, "steps": trainer.global_step, "memory": self.memory, "parameters": parameters}
        self.record.parent.mkdir(parents=True, exist_ok=True)
        self.record.write_text(json.dumps(cost), encoding="utf-8")
        self._draw(trainer, final=True)

    def on_exception(self, trainer: lightning.Trainer, pl_module: Any, exception: BaseException) -> None:
        """Leave the line as it is."""
        if self._enabled and sys.stdout.isatty():
            sys.stdout.write("\n")

    def _draw(self, trainer: lightning.Trainer, *, final: bool) -> None:
        self._drawn = time.monotonic()
        if not self._enabled or not trainer.is_global_zero:
            return
        share = 1.0 if final else progress(trainer)
        line = self._done(trainer) if final else self._running(trainer, share)
        if sys.stdout.isatty():
            shown = line[: shutil.get_terminal_size().columns - 1]
            sys.stdout.write(f"\r\x1b[2K{shown}" + ("\n" if final else ""))
        elif final or int(share * 4) > self._quarter or share == 0:
            sys.stdout.write(line + "\n")
        self._quarter = int(share * 4)
        sys.stdout.flush()

    def _done(self, trainer: lightning.Trainer) -> str:
        done, asked = trainer.global_step, trainer.max_steps
        steps, cut = f"{done:,} steps", ""
        if done < asked:
            steps = f"{done:,} of {asked:,} steps"
            cut = "; its time was over, so another run of this seed may stop elsewhere"
        return f"{self.title}  ✔ {clock(self.seconds)}, {steps}{self._loss(trainer)}{cut}"

    def _running(self, trainer: lightning.Trainer, share: float) -> str:
        filled = round(share * _BAR)
        bar = "━" * filled + "─" * (_BAR - filled)
        left = self.after + (0.0 if self.planned is None else max(self.planned - self.seconds, 0.0))
        times = f"{clock(self.before + self.seconds)} so far, {clock(left)} left"
        return f"{self.title}  {bar} {share:4.0%}{self._loss(trainer)}  {times}"

    @staticmethod
    def _loss(trainer: lightning.Trainer) -> str:
        loss = trainer.callback_metrics.get("train/loss")
        return "" if loss is None else f", loss {float(loss):.3f}"
