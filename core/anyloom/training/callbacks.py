"""What every run gets besides Lightning's own callbacks."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from anyloom.interfaces.module import TrainingModule

__all__ = ["RandomState", "ResultWriter"]


class RandomState(Callback):
    """Saves the random generators with every checkpoint: a resumed run draws what the uninterrupted one would have.
    """

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the states as plain containers and tensors, readable with ``weights_only``."""
        kind, keys, position, has_gauss, cached = np.random.get_state()
        version, internal, gauss = random.getstate()
        checkpoint["random_state"] = {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "numpy": [kind, torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, cached],
            "python": [version, list(internal), gauss],
        }

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the states until training really starts, after set-up has drawn its own numbers."""
        self._pending = checkpoint.get("random_state")

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Restore the states once."""
        state = getattr(self, "_pending", None)
        if state is None:
            return
        self._pending = None
        torch.set_rng_state(state["torch"].cpu())
        if state["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])
        kind, keys, position, has_gauss, cached = state["numpy"]
        np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal), gauss))


class ResultWriter(Callback):
    """Writes what was trained into a folder when fitting has ended (not when it was interrupted).

    Args:
        folder: Where the module's ``save_result`` writes.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write on the first process."""
        if trainer.is_global_zero and not trainer.interrupted and isinstance(pl_module, TrainingModule):
            pl_module.save_result(self.folder)
