"""Random numbers of the rows of a batch: no row's numbers depend on the other rows, nor on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from anyloom.errors import ConfigError
from anyloom.interfaces.chance import RowNumbers

__all__ = ["RowDraws"]


class RowDraws:
    """Where B rows get their random numbers from: generators of their own or, without seeds, torch's global state.

    Args:
        rows: B.
        seeds: One per row, or None. Plain numbers seed generators; from a tensor ``(B,)`` come the numbers of training
            (:class:`anyloom.interfaces.chance.RowNumbers`).
        device: Where the numbers are wanted.

    Raises:
        anyloom.errors.ConfigError: There is not one seed per row.

    >>> both, second = RowDraws(2, [3, 7]), RowDraws(1, [7])
    >>> bool((both.normal((4,))[1] == second.normal((4,))[0]).all())
    True
    """

    def __init__(
        self, rows: int, seeds: Sequence[int] | Tensor | None = None, device: torch.device | str = "cpu"
    ) -> None:
        if seeds is not None and len(seeds) != rows:
            raise ConfigError(f"{len(seeds)} seeds for {rows} rows", fix="give one seed per row")
        self.rows, self.device = rows, torch.device(device)
        self.numbers: RowNumbers | None = None
        self.generators: list[torch.Generator] | None = None
        if isinstance(seeds, Tensor):
            self.numbers = RowNumbers(seeds.to(self.device))
        elif seeds is not None:
            self.generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers ``(B, *shape)``, float32."""
        if self.numbers is not None:
            return self.numbers.normal(tuple(shape))
        if self.generators is None:
            return torch.randn((self.rows, *shape), device=self.device, dtype=torch.float32)
        return torch.stack([torch.randn(tuple(shape), generator=g) for g in self.generators]).to(self.device)

    def integers(self, low: int, high: int) -> Tensor:
        """Integers ``(B,)`` from ``low`` to ``high - 1``."""
        if self.numbers is not None:
            return self.numbers.integers(low, high)
        if self.generators is None:
            return torch.randint(low, high, (self.rows,), device=self.device)
        return torch.cat([torch.randint(low, high, (1,), generator=g) for g in self.generators]).to(self.device)

    def uniform(self) -> Tensor:
        """Numbers ``(B,)`` in [0, 1), float32."""
        if self.numbers is not None:
            return self.numbers.uniform()
        if self.generators is None:
            return torch.rand(self.rows, device=self.device)
        return torch.cat([torch.rand(1, generator=g) for g in self.generators]).to(self.device)

    def copy(self) -> RowDraws:
        """Draws that give from here on the numbers that these will give; only where generators give them."""
        assert self.generators is not None, "only generators have a copy"
        other = RowDraws(self.rows, None, self.device)
        other.generators = [generator.clone_state() for generator in self.generators]
        return other
