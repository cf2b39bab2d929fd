"""Metrics that are a mean of what each sample gets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from anyloom.interfaces import Evaluated, Sample, Score
from anyloom_metrics.metrics.rows import RowMetric

__all__ = ["MeanMetric"]


class MeanMetric(RowMetric):
    """Base of metrics with values per sample: means by group with their standard errors.

    A value is reported for a group only if every scored sample of the group has it.

    Attributes:
        columns: Names of the values of a sample.
        floors: Values whose mean, and not whose single numbers, is cut off below.
    """

    columns: ClassVar[tuple[str, ...]] = ()
    floors: ClassVar[Mapping[str, float]] = {}
    values: list[Tensor]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_rows("values", torch.zeros(0, len(self.columns), dtype=torch.float64))

    def record(self, sample: Sample, values: Mapping[str, float] | None = None, *, reason: str = "") -> None:
        """Take in one sample.

        Args:
            sample: The sample.
            values: Its values; columns that are not defined for it are left out.
            reason: Why it is not scored; see :meth:`note`.
        """
        self.note(sample, reason)
        row = [(values or {}).get(c, torch.nan) for c in self.columns]
        self.append("values", torch.tensor([row], dtype=torch.float64))

    @abstractmethod
    def refuse(self, evaluated: Evaluated) -> str:
        """Say why a sample cannot be scored, in the words of ``REASONS``; empty if it can."""

    @abstractmethod
    def measured(self, evaluated: Sequence[Evaluated]) -> list[dict[str, float]]:
        """Return the values of each of some samples, none of which was refused."""

    def update(self, evaluated: list[Evaluated]) -> None:
        """Score samples; those that cannot be scored are counted by reason."""
        reasons = [self.refuse(one) for one in evaluated]
        accepted = [one for one, reason in zip(evaluated, reasons) if not reason]
        values = iter(self.measured(accepted) if accepted else ())
        for one, reason in zip(evaluated, reasons):
            self.record(one.sample, None if reason else next(values), reason=reason)

    def compute(self) -> dict[str, Tensor]:
        """Means by ``<group>/<value>``, with ``<group>/count`` and ``<group>/flagged``."""
        return {name: value for name, (value, _) in self._estimates().items()} | self.counts()

    def found_errors(self) -> dict[str, float]:
        """Standard errors: of a mean, standard deviation over root N; for at least two samples."""
        return {name: error for name, (_, error) in self._estimates().items() if error is not None}

    def estimate(self, name: str, rows: Tensor) -> tuple[Tensor, float | None]:
        """A value of one group and its standard error, from the samples' values ``(N,)``."""
        floor = self.floors.get(name)
        mean = rows.mean() if floor is None else rows.mean().clamp(min=floor)
        return mean, float(rows.std()) / len(rows) ** 0.5 if len(rows) > 1 else None

    def _estimates(self) -> dict[str, tuple[Tensor, float | None]]:
        table, scored, found = self.joined("values"), self.joined("reasons") == 0, {}
        for group, members in self.members().items():
            rows = table[members][scored[members]]
            for column, name in enumerate(self.columns):
                if len(rows) and bool(rows[:, column].isfinite().all()):
                    found[f"{group}/{name}"] = self.estimate(name, rows[:, column])
        return found

    def scores(self) -> list[Score]:
        """What each sample got; nothing for those that were not scored. Every process must call it."""
        with self.over_processes():
            rows = zip(self.joined("identities").tolist(), self.sample_groups(), self.joined("values").tolist())
            return [
                Score(i, tuple(groups), {c: v for c, v in zip(self.columns, row) if v == v}) for i, groups, row in rows
            ]
