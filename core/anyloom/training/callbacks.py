"""What every run gets besides Lightning's own callbacks."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch.nn.parallel import DistributedDataParallel

from anyloom.config.yaml_text import write_yaml
from anyloom.errors import CheckpointError
from anyloom.storage.atomic import write_text
from anyloom.training.console import tell

__all__ = ["ConfigWriter", "RandomState", "UnevenValidation"]


class RandomState(Callback):
    """Makes a resumed run draw the random numbers that the uninterrupted one would have drawn.

    The state of every process is saved with a checkpoint. Validation draws the same numbers each time and leaves
    those of training alone, so that it does not matter whether a checkpoint came before or after it.

    Args:
        seed: Of validation.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._pending: list[dict[str, Any]] = []
        self._training: dict[str, Any] | None = None

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Store the states of all processes as plain containers and tensors, readable with ``weights_only``."""
        states: list[Any] = [self._training or _capture()]  # in the midst of a validation, that of training
        if torch.distributed.is_initialized():
            states *= trainer.world_size
            torch.distributed.all_gather_object(states, states[0])
        checkpoint["random_state"] = states

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the states until training really starts, after set-up has drawn its own numbers.

        Raises:
            anyloom.errors.CheckpointError: What stands there is no state of random generators.
        """
        self._pending = checkpoint.get("random_state") or []
        if trainer.state.fn != "fit":
            return
        if not self._pending:
            tell("note: the checkpoint has no random state; the run goes on with other draws")
        elif not isinstance(self._pending, list) or not all(_is_state(state) for state in self._pending):
            raise CheckpointError("its random_state is broken", where="ckpt_path", fix="resume from another checkpoint")

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Restore this process's state once; with another number of processes there is none to restore."""
        if len(self._pending) == trainer.world_size:
            _restore(self._pending[trainer.global_rank])
        self._pending = []

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Put the state of training aside."""
        self._training = _capture()
        torch.manual_seed(self.seed)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Go on with the state of training."""
        if self._training is not None:
            _restore(self._training)
            self._training = None


def _capture() -> dict[str, Any]:
    kind, keys, position, has_gauss, cached = np.random.get_state()
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [kind, torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, cached],
        "python": [version, list(internal), gauss],
    }


def _is_state(state: Any) -> bool:
    """Whether a value has the form of what :func:`_capture` gives."""
    if not isinstance(state, dict) or not {"torch", "cuda", "numpy", "python"} <= state.keys():
        return False
    lists = isinstance(state["numpy"], list) and isinstance(state["python"], list)
    return isinstance(state["torch"], torch.Tensor) and lists and [len(state[k]) for k in ("numpy", "python")] == [5, 3]


def _restore(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))


class UnevenValidation(Callback):
    """Lets processes have different numbers of validation batches, also none.

    DDP sends the first process's buffers to the others in every forward pass, for which they would wait for each other.
    Nothing changes buffers in a validation, so it need not.
    """

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop sending."""
        self._send(trainer, wanted=False)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Send again."""
        self._send(trainer, wanted=True)

    def _send(self, trainer: lightning.Trainer, *, wanted: bool) -> None:
        if isinstance(trainer.model, DistributedDataParallel):
            trainer.model.require_forward_param_sync = wanted


class ConfigWriter(Callback):
    """Writes the composed configuration as ``config.yaml`` into the log folder: ``anyloom fit`` runs it again.

    Args:
        sections: The configuration.
    """

    def __init__(self, sections: Mapping[str, Any]) -> None:
        self.sections = {k: v for k, v in sections.items() if k != "stages"}

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Write on the first process, when fitting begins; a run without a logger has no such folder."""
        if stage != "fit" or not trainer.loggers or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        folder = trainer.log_dir  # broadcast, so asked for in every process
        if trainer.is_global_zero and folder is not None:
            path = Path(folder) / "config.yaml"
            write_text(path, write_yaml(self.sections))
