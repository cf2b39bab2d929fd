"""Metrics that are a mean of what each sample gets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from anyloom.interfaces import Evaluated, Sample, Score
from anyloom_metrics.metrics.rows import RowMetric

__all__ = ["MeanMetric", "error_of_mean"]


class MeanMetric(RowMetric):
    """Base of metrics with values per sample: means by group with their standard errors.

    A value is reported for a group only if every scored sample of the group has it.

    Attributes:
        columns: Names of the values of a sample.
        floors: Values whose mean, and not whose single numbers, is cut off below.
    """

    columns: ClassVar[tuple[str, ...]] = ()
    floors: Mapping[str, float] = {}
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
        """Standard errors of means; see :func:`error_of_mean`."""
        return {name: error for name, (_, error) in self._estimates().items() if error is not None}

    def found_flags(self) -> dict[str, list[str]]:
        """Also values that are left out because some scored samples do not have them."""
        found = super().found_flags()
        for group, rows, _ in self.scored_rows():
            for name, column in zip(self.columns, rows.T):
                if lacking := int((~column.isfinite()).sum()) % len(column):
                    said = f"left out: {lacking} of {len(column)} scored samples do not have it"
                    found.setdefault(f"{group}/{name}", []).append(said)
        return found

    def scored_rows(self) -> list[tuple[str, Tensor, Tensor]]:
        """Group, values ``(N, columns)`` and subjects ``(N,)`` of its scored samples, where there are any."""
        table, subjects, scored = self.joined("values"), self.joined("subjects"), self.joined("reasons") == 0
        found = []
        for group, members in self.members().items():
            kept = [i for i in members if scored[i]]
            if kept:
                found.append((group, table[kept], subjects[kept]))
        return found

    def _estimates(self) -> dict[str, tuple[Tensor, float | None]]:
        found = {}
        for group, rows, subjects in self.scored_rows():
            for name, column in zip(self.columns, rows.T):
                if bool(column.isfinite().all()):
                    floor = self.floors.get(name)
                    mean = column.mean() if floor is None else column.mean().clamp(min=floor)
                    found[f"{group}/{name}"] = mean, error_of_mean(column, subjects)
        return found

    def scores(self) -> list[Score]:
        """What each sample got; nothing for those that were not scored. Every process must call it."""
        with self.over_processes():
            rows = zip(self.joined("identities").tolist(), self.sample_groups(), self.joined("values").tolist())
            return [
                Score(i, tuple(groups), {c: v for c, v in zip(self.columns, row) if v == v}) for i, groups, row in rows
            ]


def error_of_mean(values: Tensor, subjects: Tensor) -> float | None:
    """Standard error of a mean whose samples come in subjects, those of one subject being alike.

    Where every sample is its own subject, this is the standard deviation over root N.

    Args:
        values: ``(N,)``.
        subjects: ``(N,)``, a number per subject.

    Returns:
        The error; None where there are fewer than two subjects.

    >>> x = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    >>> round(error_of_mean(x, torch.arange(3)), 4), round(float(x.std() / 3**0.5), 4)
    (0.8819, 0.8819)
    >>> error_of_mean(x.repeat(4), torch.arange(3).repeat(4)) == error_of_mean(x, torch.arange(3))  # copies add nothing
    True
    """
    distinct, place = torch.unique(subjects, return_inverse=True)
    if (count := len(distinct)) < 2:
        return None
    sums = torch.zeros(count, dtype=values.dtype).index_add_(0, place, values - values.mean())
    return float((sums.square().sum() * count / (count - 1)).sqrt()) / len(values)
