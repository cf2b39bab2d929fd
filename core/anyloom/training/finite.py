"""Stops, or skips, a step whose loss or gradient is not finite, before it reaches the weights."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.optim import Optimizer

from anyloom.errors import AnyloomError
from anyloom.training.console import tell
from anyloom.training.optimizer import gradient_norm
from anyloom.training.resuming import checkpoint_folders

__all__ = ["FiniteSteps", "NonFiniteError", "batch_keys"]

_SHOWN = 8


class NonFiniteError(AnyloomError):
    """A loss or a gradient became NaN or infinite.

    Attributes:
        step: The optimizer step that would have been next.
        folders: Where the run's checkpoints are.
        several_processes: Whether others run the same training.

    >>> NonFiniteError("the loss is NaN").step
    0
    """

    step: int = 0
    folders: Sequence[Path] = ()
    several_processes: bool = False


class FiniteSteps(Callback):
    """Looks at the losses and the gradient of every step before the optimizer uses them.

    The look costs one wait for the device per step: losses and gradient norm are judged together there, and the norm is
    kept for clipping. All processes decide alike.

    Args:
        skip: How many bad steps are left out before the run ends; 0 ends it at the first.
        leave_out: Steps to leave out in any case, which an earlier try found to be bad.
    """

    def __init__(self, skip: int = 0, leave_out: Collection[int] = ()) -> None:
        self.skip, self.leave_out = skip, frozenset(leave_out)
        self.skipped = 0
        self._window: list[tuple[list[str], Tensor]] = []
        self._keys: list[str] = []

    def state_dict(self) -> dict[str, Any]:
        """How much of the budget is used."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.skipped = int(state_dict["skipped"])

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember which samples come now."""
        self._keys = batch_keys(batch)

    def on_before_backward(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, loss: Tensor
    ) -> None:
        """Remember the loss ``()`` of a batch, without waiting for it."""
        self._window.append((self._keys, loss.detach()))

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer: Optimizer
    ) -> None:
        """Judge the step.

        Raises:
            NonFiniteError: It is bad, and the budget is spent.
        """
        window, self._window = self._window, []
        norm = gradient_norm(optimizer)
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        judged = [loss.isfinite().all() for _, loss in window]
        if norm is not None and not scaled:  # a scaler looks for infinite gradients itself, and skips them
            judged.append(norm.isfinite())
            pl_module.gradient_norm = norm  # type: ignore[assignment]
        good = self._all_agree(torch.stack([j.to(judged[0].device) for j in judged]).all(), trainer) if judged else True
        known = trainer.global_step in self.leave_out
        if good and not known:
            return
        optimizer.zero_grad(set_to_none=True)  # a parameter without a gradient is left alone, moments included
        pl_module.gradient_norm = None  # type: ignore[assignment]
        if known:
            return
        what = _described(window)
        if self.skipped >= self.skip:
            spent = f" after {self.skipped} skipped steps" if self.skipped else ""
            error = NonFiniteError(
                f"{what}{spent}; the weights are as they were before it",
                where=f"step {trainer.global_step}",
                fix="look at these samples, lower the learning rate or clip the gradient; "
                "faults.non_finite can skip such steps or roll back",
            )
            error.step, error.several_processes = trainer.global_step, trainer.world_size > 1
            error.folders = checkpoint_folders(trainer.checkpoint_callbacks)
            raise error
        self.skipped += 1
        if trainer.is_global_zero:
            tell(f"step {trainer.global_step}: {what}; skipped ({self.skipped} of {self.skip})")

    def _all_agree(self, good: Tensor, trainer: lightning.Trainer) -> bool:
        if trainer.world_size == 1:
            return bool(good)
        bad = (~good).float().to(trainer.strategy.root_device)
        torch.distributed.all_reduce(bad, torch.distributed.ReduceOp.MAX)
        return not bool(bad)


def batch_keys(batch: Any) -> list[str]:
    """Names of the samples of a batch, as the data set gave them; media keys where a batch holds media alone.

    >>> batch_keys({"no": "samples"})
    []
    """
    samples = getattr(batch, "samples", None)
    if samples is None:
        return [str(key) for key in getattr(batch, "keys", None) or []] if not isinstance(batch, dict) else []
    return [str(s.key or s.provenance.get("source", "")) for s in samples]


def _described(window: list[tuple[list[str], Tensor]]) -> str:
    """What was not finite, and the samples of the batches it came from; of all where only the gradient was bad."""
    bad = [(keys, loss) for keys, loss in window if not bool(loss.isfinite().all())]
    word = f"the loss is {float(bad[0][1].sum())}" if bad else "the gradient is not finite"
    keys = [key for keys, _ in (bad or window) for key in keys if key]
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return f"{word} (samples: {', '.join(keys[:_SHOWN])}{more})" if keys else word
