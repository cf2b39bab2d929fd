"""A LightningModule that trains something: one stage of a recipe, or the assembled model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor

from anyloom.interfaces.component import Component
from anyloom.interfaces.dataset import Sample

__all__ = ["TrainingModule"]


class TrainingModule(Component, lightning.LightningModule):
    """What ``anyloom fit`` trains.

    Args:
        config: The module's validated options.
        model: The ``model:`` section of the configuration, as plain containers; a stage that trains a single
            part may ignore it.

    >>> class Nothing(TrainingModule):
    ...     def configure_optimizers(self):
    ...         return None
    >>> Nothing({}, model={}).model_options
    {}
    """

    def __init__(self, config: Any, model: dict[str, Any]) -> None:
        lightning.LightningModule.__init__(self)
        self.config = config
        self.model_options = model

    def collator(self) -> Callable[[list[Sample]], Any]:
        """Return the function that makes a batch of samples; runs in data workers."""
        raise NotImplementedError

    def kept_features(self) -> Counter[str]:
        """How many features on disk this process has ``read``, ``encoded`` and found ``broken``; empty without any."""
        return Counter()

    def nothing_to_learn(self) -> Tensor | None:
        """Return what ``training_step`` should for a batch it can learn nothing from: None, or a zero ``()``.

        With one process that is None, which skips the step. With several it is a zero that depends on every trained
        parameter, because the others wait for this process's gradients.
        """
        if self.trainer.world_size == 1:
            return None
        return torch.stack([p.flatten()[:0].sum().float() for p in self.parameters() if p.requires_grad]).sum()

    def gather_result(self) -> None:
        """Called on every process before :meth:`save_result` is on the first: bring what other processes hold."""

    def save_result(self, folder: Path) -> None:
        """Write what was trained, so that a later stage or ``from_pretrained`` can load it from ``folder``."""
        raise NotImplementedError
