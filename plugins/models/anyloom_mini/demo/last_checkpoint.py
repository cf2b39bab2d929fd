"""One checkpoint per stage, renewed now and then and when the run is interrupted."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint

__all__ = ["LastCheckpoint"]


class LastCheckpoint(ModelCheckpoint):
    """Keeps ``last.ckpt`` and nothing else.

    Args:
        folder: Where it lies.
        seconds: Time between two checkpoints.
    """

    def __init__(self, folder: str, seconds: float) -> None:
        super().__init__(
            dirpath=folder,
            save_last=True,
            save_top_k=0,
            enable_version_counter=False,
            train_time_interval=timedelta(seconds=seconds),
        )
        self.file = Path(folder) / "last.ckpt"

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Save once more when the user has interrupted; after an error the state may be the cause of it."""
        if isinstance(exception, KeyboardInterrupt) and trainer.global_step > self._last_global_step_saved:
            trainer.save_checkpoint(self.file)
