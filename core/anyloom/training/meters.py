"""How fast a run is and where its time goes: useful tokens, padding, waiting for data, memory, and use of the device.

Nothing here waits for the device within a step: positions are summed there and read in the steps that are logged.
"""

from __future__ import annotations

import resource
import sys
import time
from contextlib import AbstractContextManager
from typing import Any, Final

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from anyloom.network.network import Network
from anyloom.sequence.batch import Batch
from anyloom.training.console import tell
from anyloom.training.flops import StepFlops, counting, peak_flops

__all__ = ["Meters"]

_MODEL: Final = "model"
"""Attribute of a training module that holds its network."""


class Meters(Callback):
    """Logs what a run does between two logged steps, per process.

    ``speed/tokens_per_second`` (positions that hold something), ``speed/pad_share``, ``speed/data_wait`` (share of the
    time between batches), ``speed/memory`` (bytes at the highest: of the device, or of the process on a CPU),
    ``speed/mfu_executed`` and ``speed/mfu_trained`` (FLOPs of everything, and of the components that are trained, over
    the device's stated peak). FLOPs are counted in the first batch, printed once by component, and taken to grow with
    the positions of a batch. What is not known is 0: the peak of a CPU, FLOPs of a compiled language model.
    """

    def __init__(self) -> None:
        self._flops: StepFlops | None = None
        self._flops_cells = 0
        self._counting: AbstractContextManager[StepFlops] | None = None
        self._left_batch = self._paused = self._began = self._waited = 0.0
        self._cells, self._filled = 0, torch.zeros(())

    def _begin(self) -> None:
        self._began, self._waited = time.perf_counter(), 0.0
        self._cells, self._filled = 0, torch.zeros((), dtype=torch.long)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start the clocks."""
        self._begin()
        self._left_batch = time.perf_counter()

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """End the wait, and count the FLOPs of the first batch."""
        self._waited += time.perf_counter() - self._left_batch
        network = getattr(pl_module, _MODEL, None)
        if self._flops is None and isinstance(batch, Batch) and isinstance(network, Network):
            self._counting = counting(network)
            self._flops, self._flops_cells = self._counting.__enter__(), batch.ids.numel()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add the batch up, and log in the steps that are logged."""
        first = self._stop_counting()
        if first and trainer.is_global_zero and self._flops is not None and self._flops.known:
            tell("FLOPs of the first batch: " + ", ".join(self._flops.lines()))
        if isinstance(batch, Batch):
            self._filled = batch.segments.gt(0).sum() + self._filled  # stays on the device; the first zero is a number
            self._cells += batch.ids.numel()
        if first:
            self._begin()  # counting took time of its own
        elif self._logs(trainer) and self._cells:
            self._log(pl_module)
            self._begin()
        self._left_batch = time.perf_counter()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Count no further."""
        self._stop_counting()

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Leave validation out of the time."""
        self._paused = time.perf_counter()

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Go on."""
        away = time.perf_counter() - self._paused
        self._began, self._left_batch = self._began + away, self._left_batch + away

    def _stop_counting(self) -> bool:
        """Whether FLOPs were being counted."""
        if self._counting is None:
            return False
        self._counting.__exit__(None, None, None)
        self._counting = None
        return True

    @staticmethod
    def _logs(trainer: lightning.Trainer) -> bool:
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not every or trainer.fit_loop._should_accumulate():
            return False
        return bool((trainer.fit_loop.epoch_loop._batches_that_stepped + 1) % every == 0)

    def _log(self, module: lightning.LightningModule) -> None:
        seconds = time.perf_counter() - self._began
        filled = int(self._filled)
        module.log("speed/tokens_per_second", filled / seconds, prog_bar=True, batch_size=1)
        module.log("speed/pad_share", 1 - filled / self._cells, batch_size=1)
        module.log("speed/data_wait", min(1.0, self._waited / seconds), prog_bar=True, batch_size=1)
        module.log("speed/memory", float(_memory(module.device)), batch_size=1)
        peak = peak_flops(module.device)
        executed, trained = self._utilised(peak, seconds)
        module.log("speed/mfu_executed", executed, prog_bar=peak > 0, batch_size=1)
        module.log("speed/mfu_trained", trained, batch_size=1)

    def _utilised(self, peak: float, seconds: float) -> tuple[float, float]:
        """Shares of the peak that everything, and what is trained, reached."""
        flops = self._flops
        if not peak or flops is None or not flops.known:
            return 0.0, 0.0
        batches = self._cells / self._flops_cells  # like the first one, whose FLOPs are known
        return flops.total * batches / seconds / peak, flops.trainable * batches / seconds / peak


def _memory(device: torch.device) -> int:
    """Bytes at the highest: what PyTorch held on a GPU, or the process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
