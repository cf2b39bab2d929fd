"""A torchmetrics Metric that declares what it wants to see and what its values mean."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torchmetrics import Metric as TorchMetric

from anyloom.conversation.segments import Message
from anyloom.interfaces.component import Component
from anyloom.interfaces.dataset import Sample
from anyloom.interfaces.decoder import Decoder
from anyloom.interfaces.encoder import Encoder
from anyloom.interfaces.nested_metrics import join_states, nested_metrics

__all__ = ["Evaluated", "Metric", "ModelView", "Score", "ValueInfo"]


class ModelView(Protocol):
    """What a metric may see of the model whose answers it measures."""

    @property
    def device(self) -> torch.device:
        """Where the model's parameters are."""

    def encoder(self, modality: str) -> Encoder:
        """The encoder of a modality."""

    def decoder(self, modality: str) -> Decoder | None:
        """The decoder of a modality, None where it has none."""


@dataclass(frozen=True)
class Evaluated:
    """One evaluated sample: what was asked, and what the free-running model answered.

    Args:
        sample: The sample, its target included.
        answer: The generated message; its media carry the features they were made from.

    >>> from anyloom.conversation import Conversation
    >>> Evaluated(Sample(Conversation([]), "chat"), Message("assistant", "yes?")).answer.text
    'yes?'
    """

    sample: Sample
    answer: Message


@dataclass(frozen=True)
class ValueInfo:
    """What a value is, for reports.

    Args:
        title: Its name, in plain words.
        explanation: How it is taken and how to read it.
        better: Which direction is better.
        form: ``percent`` shows 0.5 as 50 %, ``number`` as it is.

    >>> ValueInfo("Right answers", "Share of the answers that are the target's words.").better
    'higher'
    """

    title: str
    explanation: str
    better: Literal["higher", "lower"] = "higher"
    form: Literal["percent", "number"] = "percent"


@dataclass(frozen=True)
class Score:
    """What one sample got.

    Args:
        query: The same for samples that ask the same thing in different ways (with more or fewer examples), so that
            these can be compared pairwise.
        groups: Groups whose means the sample enters.
        values: Its values by name; those that are not defined for it are left out.

    >>> Score(query=7, groups=("all", "edit"), values={"right": 1.0}).values["right"]
    1.0
    """

    query: int
    groups: tuple[str, ...]
    values: Mapping[str, float]


class Metric(Component, TorchMetric):
    """A metric over evaluated samples. State lives in torchmetrics states, so it reduces over processes.

    >>> from anyloom.conversation import Conversation
    >>> class Words(Metric):
    ...     def __init__(self, config):
    ...         super().__init__(config)
    ...         self.add_state("words", torch.tensor(0), dist_reduce_fx="sum")
    ...     def wants(self, sample):
    ...         return True
    ...     def update(self, evaluated):
    ...         self.words += sum(len(e.answer.text.split()) for e in evaluated)
    ...     def compute(self):
    ...         return {"words": self.words}
    >>> metric = Words.from_options()
    >>> metric.update([Evaluated(Sample(Conversation([]), "chat"), Message("assistant", "a red heart"))])
    >>> metric.compute()
    {'words': tensor(3)}
    """

    measures: Mapping[str, ValueInfo] = {}
    """What the values ``<group>/<value>`` of :meth:`compute` are, by ``<value>``. Values that are not named here are
    no measures of their own (counts, parts of others). A value ``x`` stands beside its baselines ``x_<baseline>``."""

    needs_media: bool = False
    """Whether the decoders must run; metrics of features or text do without."""

    needs_model: bool = False
    """Whether it looks at the model itself. Such a metric cannot score what another program made."""

    full_state_update: bool = False
    """For torchmetrics: no update depends on earlier ones, so that the states of several processes can be joined."""

    def __init__(self, config: Any) -> None:
        TorchMetric.__init__(self)
        self.config = config

    def reset(self) -> None:
        """Forget all samples, also in metrics of torchmetrics that are attributes of this one."""
        super().reset()
        for metric in nested_metrics(self):
            metric.reset()

    def merge_state(self, incoming_state: Any) -> None:
        """Take over what another metric of this class has seen, nested metrics of torchmetrics included.

        Args:
            incoming_state: The other metric, or its states by name.

        Raises:
            RuntimeError: A nested metric has states that cannot be joined.
        """
        super().merge_state(incoming_state)
        if isinstance(incoming_state, TorchMetric):
            for mine, theirs in zip(nested_metrics(self), nested_metrics(incoming_state)):
                join_states(mine, theirs)

    def prepare(self, model: ModelView | None) -> None:
        """Called once before the first update.

        Args:
            model: The model whose answers are measured; None where they were made by another program, which a metric
                that says :attr:`needs_model` is never asked about.
        """

    @abstractmethod
    def wants(self, sample: Sample) -> bool:
        """Whether a sample counts for this metric; others are neither generated nor passed on."""

    @abstractmethod
    def update(self, evaluated: list[Evaluated]) -> None:
        """Take in a batch of evaluated samples."""

    @abstractmethod
    def compute(self) -> dict[str, Tensor]:
        """Return the measured values by name, counts included."""

    def standard_errors(self) -> dict[str, float]:
        """Return standard errors of what :meth:`compute` returns, by the same names, as far as they are known."""
        return {}

    def flags(self) -> dict[str, list[str]]:
        """Return what forbids reading values of :meth:`compute` as they stand, by the same names.

        Samples that could not be scored, too few of them for a covariance, and the like; reports show it beside the
        numbers.
        """
        return {}

    def scores(self) -> list[Score]:
        """Return what every sample got, in the order of the updates; empty if the metric has no values per sample."""
        return []
