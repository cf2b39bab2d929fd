"""Means by group over evaluated samples, kept in torchmetrics states so that they reduce over processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from anyloom.interfaces import Metric

__all__ = ["GroupedMeans", "joined", "pack_names", "unpack_names"]

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
    """The group names in one row of bytes."""
    return bytes(row.tolist()).rstrip(b"\0").decode().split("\n")


class GroupedMeans(Metric):
    """Base of metrics that are means of per-sample values, by group.

    A value is reported for a group only if every sample of the group has it: a baseline that is not defined for all
    of them would be compared on other samples. ``count`` is the number of samples.

    Attributes:
        columns: Names of the per-sample values.
        measures: What each value is, for reports: ``title``, ``explanation``, ``better`` (higher or lower), ``form``
            (percent or number). A value ``x`` stands beside its baselines ``x_copying`` and ``x_arithmetic``.
    """

    columns: ClassVar[tuple[str, ...]] = ()
    measures: Mapping[str, Mapping[str, str]] = {}
    names: list[Tensor]
    rows: list[Tensor]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.add_state("names", [], dist_reduce_fx="cat")
        self.add_state("rows", [], dist_reduce_fx="cat")

    def record(self, groups: Sequence[str], values: Mapping[str, float | None]) -> None:
        """Take in one sample.

        Args:
            groups: The groups it belongs to.
            values: Its values by column; None or absent where one is not defined.
        """
        row = [float("nan") if (v := values.get(c)) is None else v for c in self.columns]
        self.names.append(pack_names(groups).to(self.device))
        self.rows.append(torch.tensor([row], dtype=torch.float32, device=self.device))

    def members(self) -> dict[str, list[int]]:
        """Sample numbers by group, groups in alphabetical order."""
        found: dict[str, list[int]] = {}
        names = joined(self.names)
        for i in range(len(names)):
            for group in unpack_names(names[i]):
                found.setdefault(group, []).append(i)
        return dict(sorted(found.items()))

    def table(self) -> Tensor:
        """Per-sample values ``(N, columns)``."""
        return joined(self.rows)

    def derived(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """Further values of a group, from its means. None by default."""
        del means
        return {}

    def compute(self) -> dict[str, Tensor]:
        """Means by ``<group>/<value>``, and ``<group>/count``."""
        table, found = self.table(), {}
        for group, members in self.members().items():
            means = {c: v for c, v in zip(self.columns, table[members].mean(0)) if not bool(v.isnan())}
            means |= self.derived(means)
            means["count"] = torch.tensor(float(len(members)))
            found.update({f"{group}/{name}": value for name, value in means.items()})
        return found


def joined(state: list[Tensor] | Tensor) -> Tensor:
    """A list state, which is a tensor already after processes were joined; on the CPU."""
    return (torch.cat(state) if isinstance(state, list) else state).cpu()
