"""A table of samples in torchmetrics states: the same for any batch size, order and number of processes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from anyloom.errors import ConfigError
from anyloom.interfaces import ComponentConfig, Evaluated, Metric, Sample
from anyloom.interfaces.metric import ModelView
from anyloom_metrics.metrics.asked import REASONS, groups_of, identity_of, number_of
from anyloom_metrics.metrics.contract import Contract

__all__ = ["RowConfig", "RowMetric"]

_WIDTH = 400


class RowConfig(ComponentConfig):
    """Options that all metrics of this package have.

    Args:
        tasks: Tasks that count; None takes all that have what the metric reads.
    """

    tasks: tuple[str, ...] | None = None


class RowMetric(Metric):
    """Base of metrics that remember each sample: who it is, its groups, and why it was not scored.

    Every list state starts with an empty tensor of its width and type, so that a process without samples can be
    joined with others.
    """

    config: Any
    identities: list[Tensor]
    names: list[Tensor]
    reasons: list[Tensor]
    subjects: list[Tensor]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._empty: dict[str, Tensor] = {}
        self._place: torch.device | None = None
        self.add_rows("identities", torch.zeros(0, dtype=torch.int64))
        self.add_rows("names", torch.zeros(0, _WIDTH, dtype=torch.uint8))
        self.add_rows("subjects", torch.zeros(0, dtype=torch.int64))
        self.add_rows("reasons", torch.zeros(0, dtype=torch.int64))

    def prepare(self, model: ModelView | None) -> None:
        """Load what the metric looks through, so that missing weights are found before anything is generated.

        It runs where the model is.
        """
        self._place = None if model is None else model.device
        self.load()

    def load(self) -> None:
        """Load the networks that the metric looks through; by default there are none."""

    @property
    def place(self) -> torch.device:
        """Where extractors run."""
        return self._place or self.device

    @abstractmethod
    def contract(self) -> Contract:
        """Return the conditions of this metric's numbers."""

    def add_rows(self, name: str, empty: Tensor) -> None:
        """Add a list state.

        Args:
            name: Its name.
            empty: Tensor ``(0, ...)`` that tells width and type.
        """
        self.add_state(name, [], dist_reduce_fx="cat")
        self._empty[name] = empty
        getattr(self, name).append(empty.to(self.device))

    def reset(self) -> None:
        """Forget all samples."""
        super().reset()
        for name, empty in self._empty.items():
            setattr(self, name, [empty.to(self.device)])

    def append(self, name: str, rows: Tensor) -> None:
        """Append rows ``(n, ...)`` to a list state."""
        getattr(self, name).append(rows.to(self._empty[name].dtype).to(self.device))

    def joined(self, name: str) -> Tensor:
        """All rows ``(N, ...)`` of a list state, on the CPU, in the order of their arrival."""
        state = getattr(self, name)
        return (torch.cat(state) if isinstance(state, list) else state).cpu()

    def note(self, sample: Sample, reason: str = "") -> None:
        """Take in one sample.

        Args:
            sample: The sample.
            reason: Why it is not scored, one of :data:`anyloom_metrics.metrics.asked.REASONS`; empty if it is.
        """
        self.append("identities", torch.tensor([identity_of(sample)]))
        self.append("names", _packed(groups_of(sample)))
        self.append("reasons", torch.tensor([REASONS.index(reason)]))
        subject = sample.provenance.get("subject")
        self.append("subjects", self.identities[-1] if subject is None else torch.tensor([number_of(f"{subject}")]))

    def sample_groups(self) -> list[list[str]]:
        """Groups of each sample."""
        return [bytes(row.tolist()).rstrip(b"\0").decode().split("\n") for row in self.joined("names")]

    def members(self) -> dict[str, list[int]]:
        """Sample numbers by group, groups in alphabetical order."""
        found: dict[str, list[int]] = {}
        for i, groups in enumerate(self.sample_groups()):
            for group in groups:
                found.setdefault(group, []).append(i)
        return dict(sorted(found.items()))

    def counts(self) -> dict[str, Tensor]:
        """``<group>/count`` of scored samples and ``<group>/flagged`` of those that could not be."""
        reasons, found = self.joined("reasons"), {}
        for group, members in self.members().items():
            flagged = int((reasons[members] > 0).sum())
            found[f"{group}/count"] = torch.tensor(float(len(members) - flagged))
            found[f"{group}/flagged"] = torch.tensor(float(flagged))
        return found

    def over_processes(self) -> AbstractContextManager[None]:
        """Within it the states are those of all processes; all of them must enter. ``compute`` is in one already."""
        return self.sync_context(dist_sync_fn=self.dist_sync_fn, should_sync=self._to_sync, should_unsync=True)

    def flags(self) -> dict[str, list[str]]:
        """What forbids reading values as they stand, by their names; every process must call it."""
        with self.over_processes():
            return self.found_flags()

    def standard_errors(self) -> dict[str, float]:
        """Standard errors by the names of :meth:`compute`; every process must call it."""
        with self.over_processes():
            return self.found_errors()

    def found_errors(self) -> dict[str, float]:
        """Standard errors from the states as they are."""
        return {}

    def found_flags(self) -> dict[str, list[str]]:
        """Samples that were not scored, counted by reason, under ``<group>/flagged``."""
        reasons, found = self.joined("reasons"), {}
        for group, members in self.members().items():
            counted = torch.bincount(reasons[members], minlength=len(REASONS)).tolist()
            said = [f"{n} of {len(members)} samples: {REASONS[i]}" for i, n in enumerate(counted) if i and n]
            if said:
                found[f"{group}/flagged"] = said
        return found

    def wants(self, sample: Sample) -> bool:
        """Samples of the tasks that count."""
        return self.config.tasks is None or sample.task in self.config.tasks

    @abstractmethod
    def update(self, evaluated: list[Evaluated]) -> None:
        """Take in a batch of evaluated samples."""


def _packed(names: Sequence[str]) -> Tensor:
    """Group names as bytes ``(1, W)``, a tensor like any other state."""
    text = "\n".join(names).encode()
    if len(text) > _WIDTH:
        raise ConfigError(
            f"the names of a sample's groups take {len(text)} bytes, at most {_WIDTH} fit",
            where=names[0],
            fix="give its task and family shorter names",
        )
    return torch.tensor([list(text.ljust(_WIDTH, b"\0"))], dtype=torch.uint8)
