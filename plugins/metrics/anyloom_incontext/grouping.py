"""Means by group over evaluated samples, kept in torchmetrics states so that they reduce over processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, ClassVar

import torch
from torch import Tensor

from anyloom.interfaces import Metric, Sample, Score
from anyloom_incontext.provenance import groups_of, query_of

__all__ = ["GroupedMeans", "jackknife", "joined", "pack_names", "ratio", "unpack_names"]

_WIDTH = 160


def pack_names(names: Sequence[str]) -> Tensor:
    """Group names as bytes ``(1, W)``, a tensor like any other state.

    >>> unpack_names(pack_names(["edit", "edit/tone"])[0])
    ['edit', 'edit/tone']
    """
    text = "\n".join(names).encode()
    if len(text) > _WIDTH:
        raise ValueError(f"the group names of one sample take {len(text)} bytes, at most {_WIDTH} fit")
    return torch.tensor([list(text.ljust(_WIDTH, b"\0"))], dtype=torch.uint8)


def unpack_names(row: Tensor) -> list[str]:
    r"""The group names in one row of bytes ``(W,)``.

    >>> unpack_names(torch.tensor([*b"edit\nedit/tone\0\0"], dtype=torch.uint8))
    ['edit', 'edit/tone']
    """
    return bytes(row.tolist()).rstrip(b"\0").decode().split("\n")


def ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Quotient ``(...)`` of two means ``(...)``, element by element; NaN where the second is not above 0.

    >>> ratio(torch.tensor([1.0, 1.0]), torch.tensor([2.0, 0.0]))
    tensor([0.5000,    nan])
    """
    return torch.where(whole > 0, part / whole, torch.nan)


def jackknife(left_out: Tensor) -> float:
    """Standard error of a statistic from its values ``(N,)`` with each sample left out in turn (Efron & Stein 1981).

    For a mean this is the usual standard deviation / sqrt(N).

    >>> x = torch.tensor([1.0, 2.0, 4.0])
    >>> round(jackknife((x.sum() - x) / 2), 4), round(float(x.std() / 3**0.5), 4)
    (0.8819, 0.8819)
    """
    n = len(left_out)
    return float(((left_out - left_out.mean()).square().sum() * (n - 1) / n).sqrt())


class GroupedMeans(Metric):
    """Base of metrics that are means of per-sample values, by group.

    A value is reported for a group only if every sample of the group has it: a baseline that is not defined for all
    of them would be compared on other samples. ``count`` is the number of samples. A value ``x`` stands beside its
    baselines ``x_copying`` and ``x_arithmetic``.

    Attributes:
        columns: Names of the per-sample values.
    """

    columns: ClassVar[tuple[str, ...]] = ()
    names: list[Tensor]
    rows: list[Tensor]
    asked: list[Tensor]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        for state in ("names", "rows", "asked"):
            self.add_state(state, [], dist_reduce_fx="cat")

    def record(self, sample: Sample, values: Mapping[str, float | None], groups: Sequence[str] | None = None) -> None:
        """Take in one sample.

        Args:
            sample: The sample.
            values: Its values by column; None or absent where one is not defined.
            groups: The groups it belongs to, if not those of its task, family and k.
        """
        row = [float("nan") if (v := values.get(c)) is None else v for c in self.columns]
        self.names.append(pack_names(groups_of(sample) if groups is None else groups).to(self.device))
        self.rows.append(torch.tensor([row], dtype=torch.float32, device=self.device))
        self.asked.append(torch.tensor([query_of(sample)], device=self.device))

    def members(self) -> dict[str, list[int]]:
        """Sample numbers by group, groups in alphabetical order."""
        found: dict[str, list[int]] = {}
        for i, groups in enumerate(self._groups()):
            for group in groups:
                found.setdefault(group, []).append(i)
        return dict(sorted(found.items()))

    def _groups(self) -> list[list[str]]:
        names = joined(self.names)
        return [unpack_names(names[i]) for i in range(len(names))]

    def table(self) -> Tensor:
        """Per-sample values ``(N, columns)``."""
        return joined(self.rows)

    def derived(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """Further values of a group, from its means, element by element. None by default."""
        del means
        return {}

    def compute(self) -> dict[str, Tensor]:
        """Means by ``<group>/<value>``, and ``<group>/count``."""
        table, found = self.table(), {}
        for group, members in self.members().items():
            means = self._defined(table[members].mean(0))
            means |= {name: value for name, value in self.derived(means).items() if not bool(value.isnan())}
            means["count"] = torch.tensor(float(len(members)))
            found.update({f"{group}/{name}": value for name, value in means.items()})
        return found

    def standard_errors(self) -> dict[str, float]:
        """Jackknife standard errors of all values, where a group has more than one sample."""
        table, found = self.table(), {}
        for group, members in self.members().items():
            if (n := len(members)) < 2:
                continue
            part = table[members].double()
            means = self._defined((part.sum(0) - part) / (n - 1))
            means |= self.derived(means)
            errors = {f"{group}/{name}": jackknife(value) for name, value in means.items()}
            found.update({name: error for name, error in errors.items() if isfinite(error)})
        return found

    def _defined(self, values: Tensor) -> dict[str, Tensor]:
        """Values ``(..., columns)`` by name, those left out that are not there everywhere."""
        return {c: values[..., i] for i, c in enumerate(self.columns) if not bool(values[..., i].isnan().any())}

    def scores(self) -> list[Score]:
        """What each sample got."""
        return [
            Score(int(query), tuple(groups), {c: v for c, v in zip(self.columns, row) if v == v})
            for query, groups, row in zip(joined(self.asked), self._groups(), self.table().tolist())
        ]


def joined(state: list[Tensor] | Tensor) -> Tensor:
    """A list state, which is a tensor already after processes were joined; on the CPU.

    >>> joined([torch.tensor([1]), torch.tensor([2])])
    tensor([1, 2])
    """
    return (torch.cat(state) if isinstance(state, list) else state).cpu()
