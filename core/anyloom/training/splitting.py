"""A batch that does not fit into memory is computed in two halves, once, with the gradient of the whole."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from anyloom.interfaces.module import TrainingModule
from anyloom.training.console import tell
from anyloom.training.outside_errors import out_of_memory

__all__ = ["BatchSplitter"]


class BatchSplitter:
    """Stands between a training module and the loss of its batches.

    The loss must be a sum over samples, divided by what does not depend on how they are batched; then the gradients of
    halves add up to that of the whole. Between several processes nothing is split, since each would have to.

    Args:
        module: What trains. Its batches carry their ``samples``.
    """

    def __init__(self, module: TrainingModule) -> None:
        self.module = module
        self.enabled = True
        self._batch: Any = None
        self._loss_of: Callable[[Any], Tensor] | None = None
        self._halve = False

    def loss(self, batch: Any, loss_of: Callable[[Any], Tensor]) -> Tensor:
        """Return the loss of a batch, or a zero in its place if memory ran out: :meth:`backward` then does the work.

        Args:
            batch: The batch.
            loss_of: Gives the loss ``()`` of it, or of a half of it.
        """
        self._batch, self._loss_of, self._halve = batch, loss_of, False
        try:
            return loss_of(batch)
        except (RuntimeError, MemoryError) as error:
            if not self._can_split(error):
                raise
        self._halve = True
        return self._trained()[0].sum() * 0

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of the last loss ``()`` to the parameters'."""
        if not self._halve:
            fresh = all(p.grad is None for p in self._trained())
            try:
                loss.backward()  # type: ignore[no-untyped-call]
                return
            except (RuntimeError, MemoryError) as error:
                # gradients of earlier batches of the step may have been added to already
                if not fresh or not self._can_split(error):
                    raise
            for parameter in self._trained():
                parameter.grad = None
        self._backward_in_halves()

    def _backward_in_halves(self) -> None:
        samples = list(self._batch.samples)
        trainer, loss_of = self.module.trainer, self._loss_of
        assert loss_of is not None
        tell(f"step {trainer.global_step}: {len(samples)} samples do not fit into memory; computed in halves")
        self._batch, self._halve = None, False
        gc.collect()  # the failed try is held by nothing but its own circles
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        middle = -(-len(samples) // 2)
        for part in (samples[:middle], samples[middle:]):
            batch = trainer.precision_plugin.convert_input(self.module.collator()(part))
            batch = self.module.transfer_batch_to_device(batch, self.module.device, 0)
            loss = loss_of(batch) / trainer.accumulate_grad_batches  # as lightning does with the whole
            (loss if scaler is None else scaler.scale(loss)).backward()

    def _can_split(self, error: BaseException) -> bool:
        samples = getattr(self._batch, "samples", ())
        return self.enabled and out_of_memory(error) and len(samples) > 1 and self.module.trainer.world_size == 1

    def _trained(self) -> list[torch.nn.Parameter]:
        return [p for p in self.module.parameters() if p.requires_grad]
