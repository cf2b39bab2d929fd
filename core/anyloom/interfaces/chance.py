"""Random numbers of training that belong to the rows of a batch: no row's numbers depend on the others in it.

The network says which seeds the rows of a call have (:class:`row_chance`); what a component draws by :func:`row_normal`
or :class:`RowDropout` then comes from these. So a step over one batch of four is the step over four batches of one.

Numbers are a function of seed, purpose and place (counters through the finaliser of SplitMix64, Steele et al. 2014), so
they are made on the device of the seeds, without a wait, and ``torch.compile`` sees through them.
"""

from __future__ import annotations

import math
from types import TracebackType
from typing import Final

import torch
from torch import Tensor, nn

__all__ = ["RowDropout", "RowNumbers", "row_chance", "row_normal"]

_GOLDEN: Final = 0x9E3779B97F4A7C15 - 2**64
_FIRST: Final = 0xBF58476D1CE4E5B9 - 2**64
_SECOND: Final = 0x94D049BB133111EB - 2**64
_BITS: Final = 24


class RowNumbers:
    """Numbers of N rows, one draw after another.

    Args:
        seeds: ``(N,)`` int64.
        purpose: Number of what is drawn; equal seeds give other numbers for another purpose.

    >>> both, second = RowNumbers(torch.tensor([3, 7])), RowNumbers(torch.tensor([7]))
    >>> torch.equal(both.normal((4,))[1], second.normal((4,))[0])
    True
    """

    def __init__(self, seeds: Tensor, purpose: int = 0) -> None:
        self.seeds = _scrambled(seeds + purpose)
        self._next = 1

    def _bits(self, count: int) -> Tensor:
        """Whole numbers ``(N, count)``, 0 to 2**24 - 1."""
        places = torch.arange(self._next, self._next + count, device=self.seeds.device)
        self._next += count
        return (_scrambled(self.seeds[:, None] + places * _GOLDEN) >> (64 - _BITS)) & (2**_BITS - 1)

    def uniform(self, shape: tuple[int, ...] | torch.Size = ()) -> Tensor:
        """Numbers ``(N, *shape)`` in [0, 1), float32."""
        return (self._bits(math.prod(shape)).float() * 2.0**-_BITS).view(-1, *shape)

    def normal(self, shape: tuple[int, ...] | torch.Size = ()) -> Tensor:
        """Standard normal numbers ``(N, *shape)``, float32, by Box and Muller."""
        count = math.prod(shape)
        radius = (-2 * ((self._bits(count).float() + 1) * 2.0**-_BITS).log()).sqrt()
        angle = self._bits(count).float() * (2 * math.pi * 2.0**-_BITS)
        return (radius * angle.cos()).view(-1, *shape)

    def integers(self, low: int, high: int) -> Tensor:
        """Whole numbers ``(N,)`` from ``low`` to ``high - 1``, of at most 2**24."""
        return low + ((self._bits(1)[:, 0] * (high - low)) >> _BITS)


_ROWS: list[RowNumbers] = []


class row_chance:  # noqa: N801 - used like a function
    """Let what is drawn for rows in here come from their seeds.

    Args:
        seeds: One per row ``(N,)`` int64; None leaves it to torch's global state.
        purpose: Number of what is drawn; equal seeds give other numbers for another purpose.
    """

    def __init__(self, seeds: Tensor | None, purpose: int = 0) -> None:
        self.seeds, self.purpose = seeds, purpose

    def __enter__(self) -> None:
        if self.seeds is not None:
            _ROWS.append(RowNumbers(self.seeds, self.purpose))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.seeds is not None:
            _ROWS.pop()


def row_normal(like: Tensor) -> Tensor:
    """Standard normal numbers of the shape, precision and device of ``like`` ``(N, ...)``.

    Inside :class:`row_chance` of N rows they are the rows' own; elsewhere torch's global state gives them.

    >>> with row_chance(torch.tensor([3, 7])):
    ...     both = row_normal(torch.zeros(2, 4))
    >>> with row_chance(torch.tensor([7])):
    ...     torch.equal(row_normal(torch.zeros(1, 4))[0], both[1])
    True
    """
    numbers = _numbers(like)
    return torch.randn_like(like) if numbers is None else numbers.normal(like.shape[1:]).to(like)


class RowDropout(nn.Dropout):
    """Dropout of ``(N, ...)`` whose rows' masks are their own inside :class:`row_chance`; elsewhere torch's."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop, and scale what is left."""
        numbers = _numbers(x) if self.training and 0 < self.p < 1 else None
        if numbers is None:
            return super().forward(x)
        kept = numbers.uniform(x.shape[1:]).to(x.device) >= self.p
        return x * kept.to(x.dtype) / (1 - self.p)


def _numbers(rows: Tensor) -> RowNumbers | None:
    if not _ROWS or rows.ndim == 0 or len(_ROWS[-1].seeds) != len(rows):
        return None
    return _ROWS[-1]


def _scrambled(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64 on int64, whose products wrap around."""
    x = (x ^ ((x >> 30) & (2**34 - 1))) * _FIRST
    x = (x ^ ((x >> 27) & (2**37 - 1))) * _SECOND
    return x ^ ((x >> 31) & (2**33 - 1))
