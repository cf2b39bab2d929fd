"""The places a run writes to: tried and locked before the first step, and its result at the end."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import lightning
from lightning.pytorch.callbacks import Callback

from anyloom.interfaces.module import TrainingModule
from anyloom.storage.atomic import remove_drafts
from anyloom.storage.locking import locked
from anyloom.storage.space import require_room
from anyloom.training.console import tell
from anyloom.training.resuming import checkpoint_folders

__all__ = ["OutputGuard", "ResultWriter", "limited"]


def limited(trainer: lightning.Trainer) -> str:
    """The option that makes a run a trial of a part of the data, or of no step; empty for a run over all of it.

    >>> limited(lightning.Trainer(max_steps=0, logger=False, enable_checkpointing=False, enable_progress_bar=False))
    'max_steps'
    """
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        return "fast_dev_run"
    if trainer.overfit_batches:  # type: ignore[attr-defined]
        return "overfit_batches"
    if 0 in (trainer.max_steps, trainer.max_epochs):
        return "max_steps" if trainer.max_steps == 0 else "max_epochs"
    return "" if trainer.limit_train_batches in (None, 1.0) else "limit_train_batches"


class OutputGuard(Callback):
    """Before the first step: is there room for a checkpoint and a result, may they be written, does nobody else write?

    Args:
        result: The result folder.
    """

    def __init__(self, result: Path | None) -> None:
        self.result = result
        self._locks = ExitStack()

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Try, lock and sweep on the first process.

        Raises:
            anyloom.errors.CheckpointError: One of the places will not do; says which and why.
        """
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        weights = sum(t.numel() * t.element_size() for t in pl_module.state_dict().values())
        trained = sum(p.numel() * p.element_size() for p in pl_module.parameters() if p.requires_grad)
        folders = checkpoint_folders(trainer.checkpoint_callbacks)
        for folder in folders:
            require_room(folder, weights + 2 * trained)  # weights, and the optimizer's two states
        if self.result is not None:
            require_room(self.result, weights)
        for folder in _distinct([*folders, *([self.result] if self.result else [])]):
            self._locks.enter_context(locked(folder))
        for folder in folders:
            remove_drafts(folder)

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Let the next run in."""
        self._locks.close()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Let the next run in; after an exception lightning tears nothing down."""
        self._locks.close()


def _distinct(folders: Iterable[Path]) -> list[Path]:
    return list({folder.resolve(): folder for folder in folders}.values())


class ResultWriter(Callback):
    """Writes what was trained into a folder when fitting has ended, and says where it is.

    A run that was interrupted writes nothing. Nor does a trial (``fast_dev_run``), nor one of no step, whose weights
    nobody trained, nor one over a part of the data where a result is already.

    Args:
        folder: Where the module's ``save_result`` writes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write on the first process; all of them bring what they hold of it."""
        if trainer.interrupted or not isinstance(pl_module, TrainingModule):
            return
        pl_module.gather_result()
        if not trainer.is_global_zero:
            return
        option, untrained = limited(trainer), trainer.global_step == 0
        if untrained or (option and (option == "fast_dev_run" or self.folder.exists())):
            why = [f"trainer.{option} is set"] if option else []
            why += ["no step was trained"] if untrained and option != "fast_dev_run" else []
            what = "the result there is kept" if self.folder.exists() else "nothing is written"
            tell(f"note: {' and '.join(why)}, so {what}: {self.folder}")
            return
        pl_module.save_result(self.folder)
        print(f"result: {self.folder}", flush=True)  # noqa: T201 - what the command made
