"""What a resumed run needs beyond Lightning's own state, to be the uninterrupted one bit for bit."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from torch import Tensor

from anyloom.errors import CheckpointError

__all__ = ["KeptLogs", "OpenWindow", "PendingValidation"]


class OpenWindow(Callback):
    """Keeps the gradients of an accumulation window that a checkpoint was written in the middle of.

    Also keeps checkpoint callbacks from writing the step again that they went on from, which they have forgotten, and
    from writing a step that was saved just before a crash under a second name.
    """

    def __init__(self) -> None:
        self._pending: list[dict[str, Tensor]] = []
        self._resumed = False
        self._counts: dict[str, float] | None = None

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store every process's gradients, if the last batch did not end a step."""
        if trainer.fit_loop.epoch_loop.batch_progress.current.ready and trainer.fit_loop._should_accumulate():
            own = {n: p.grad.detach().cpu() for n, p in pl_module.named_parameters() if p.grad is not None}
            gradients: list[Any] = [own]
            if torch.distributed.is_initialized():
                gradients *= trainer.world_size
                torch.distributed.all_gather_object(gradients, own)
            checkpoint["gradients"] = gradients
            # the terms of the window are divided by what all its batches hold
            checkpoint["step_counts"] = getattr(pl_module, "_step_counts", None)

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep them until training starts.

        Raises:
            anyloom.errors.CheckpointError: Training cannot go on from it: it holds weights alone.
        """
        if trainer.state.fn == "fit" and not {"loops", "optimizer_states", "lr_schedulers"} <= checkpoint.keys():
            raise CheckpointError(
                "it holds weights but not the state of a training run",
                where="ckpt_path",
                fix="resume from a whole checkpoint (save_weights_only: false)",
            )
        self._pending, self._resumed = checkpoint.get("gradients") or [], True
        self._counts = checkpoint.get("step_counts")

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Tell the checkpoint callbacks which step is saved already, and that later ones are to be replaced."""
        for callback in trainer.checkpoint_callbacks if self._resumed else []:
            if isinstance(callback, ModelCheckpoint):
                callback._last_global_step_saved = trainer.global_step
                callback._enable_version_counter = False

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Put the gradients back; within a window lightning leaves them alone."""
        if len(self._pending) == trainer.world_size:
            own = self._pending[trainer.global_rank]
            for name, parameter in pl_module.named_parameters():
                if name in own:
                    parameter.grad = own[name].to(parameter.device, parameter.dtype)
            if self._counts is not None:
                pl_module._step_counts = self._counts  # type: ignore[assignment]
        self._pending = []


class KeptLogs(Callback):
    """Puts on the disk what was logged up to a checkpoint: loggers keep many rows in memory.

    A run that goes on from there logs what came after it, and would never log those rows again.
    """

    def __init__(self) -> None:
        self._saved = False

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Remember it: the values of the step are logged after this."""
        self._saved = True

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write them now."""
        self._write(trainer)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write them now."""
        self._write(trainer)

    def _write(self, trainer: lightning.Trainer) -> None:
        if self._saved:
            for logger in trainer.loggers:
                logger.save()
        self._saved = False


class PendingValidation(Callback):
    """Runs a validation that was due when a checkpoint was written and had not ended when the run was stopped.

    A checkpoint that is written while it is run, such as by a signal, goes on from before it once more.
    """

    def __init__(self) -> None:
        self._due = False
        self._missed: dict[str, bool] | None = None
        self._loops: dict[str, Any] = {}
        self._loaded: dict[str, Any] = {}
        self._repeating = False

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Make a run whose training had ended already, which lightning would leave at once, end as it did then.

        A validation that was missed is run, and lightning's averages take the place of the weights.
        """
        loop = trainer.fit_loop
        run = loop.run

        def run_with_validation() -> None:
            loop.setup_data()
            ended = loop.skip
            if self._missed is not None and ended:
                self._repeat(trainer)
            run()
            for callback in trainer.callbacks if ended else []:  # type: ignore[attr-defined]
                if isinstance(callback, WeightAveraging):
                    callback.on_train_end(trainer, pl_module)

        loop.run = run_with_validation  # type: ignore[method-assign]

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Note whether a validation follows, before any callback saves a checkpoint."""
        fetcher = trainer.fit_loop._data_fetcher
        assert fetcher is not None
        self._due = trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)
        self._loops = trainer._checkpoint_connector._get_loops_state_dict() if self._due else {}

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """It has been run."""
        if not trainer.sanity_checking:
            self._due, self._loops = False, {}

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store whether it is still to be run. A checkpoint of the midst of it goes on from before it."""
        if self._repeating:  # the next batch has been taken from the data already
            for key in _of_progress(trainer):
                checkpoint.pop(key, None)
            checkpoint |= self._loaded
        elif self._due:
            checkpoint["validation_due"] = {"stepped": not trainer.fit_loop._should_accumulate()}
            if trainer.validating:
                checkpoint["loops"] = self._loops

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep that until training starts."""
        self._missed = checkpoint.get("validation_due")
        if self._missed is not None:
            self._loaded = {key: checkpoint[key] for key in _of_progress(trainer) if key in checkpoint}

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Run it before the first batch, as lightning would have after the last one."""
        if self._missed is not None and trainer.enable_validation:
            loop = trainer.fit_loop.epoch_loop
            stepped = loop._batches_that_stepped
            loop._batches_that_stepped -= int(self._missed["stepped"])  # its values belong to the batch before
            self._repeat(trainer)
            loop._batches_that_stepped = stepped
        self._missed, self._loaded = None, {}

    def _repeat(self, trainer: lightning.Trainer) -> None:
        """Run the validation that was missed."""
        loop, connector = trainer.fit_loop.epoch_loop, trainer._logger_connector
        first = connector._first_loop_iter
        loop.val_loop.restarting = False
        trainer.validating = self._repeating = True
        loop.val_loop.run()
        self._repeating, trainer.training = False, True
        connector._first_loop_iter = first
        self._missed, self._loaded = None, {}


def _of_progress(trainer: lightning.Trainer) -> list[str]:
    """The keys of a checkpoint that say where a run is."""
    data = getattr(trainer, "datamodule", None)
    return ["loops", "gradients", "step_counts", "random_state", "validation_due", type(data).__qualname__]
