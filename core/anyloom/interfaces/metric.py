"""A torchmetrics Metric that declares what it wants to see."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torchmetrics import Metric as TorchMetric

from anyloom.conversation.segments import Message
from anyloom.interfaces.component import Component
from anyloom.interfaces.dataset import Sample

if TYPE_CHECKING:
    from anyloom.model.model import AnyToAnyModel

__all__ = ["Evaluated", "Metric"]


@dataclass(frozen=True)
class Evaluated:
    """One evaluated sample: what was asked, and what the free-running model answered.

    Args:
        sample: The sample, its target included.
        answer: The generated message; its media carry the features they were made from.
    """

    sample: Sample
    answer: Message


class Metric(Component, TorchMetric):
    """A metric over evaluated samples. State lives in torchmetrics states, so it reduces over processes."""

    def __init__(self, config: Any) -> None:
        TorchMetric.__init__(self)
        self.config = config

    needs_media: bool = False
    """Whether the decoders must run; metrics of features or text do without."""

    def prepare(self, model: AnyToAnyModel) -> None:
        """Called once before the first update, with the model whose answers are measured."""

    @abstractmethod
    def wants(self, sample: Sample) -> bool:
        """Whether a sample counts for this metric; others are neither generated nor passed on."""

    @abstractmethod
    def update(self, evaluated: list[Evaluated]) -> None:
        """Take in a batch of evaluated samples."""

    @abstractmethod
    def compute(self) -> dict[str, Tensor]:
        """Return the measured values by name, counts included."""
