"""Packing: samples of different lengths into rows of one length, in the order they come, with a bounded look-ahead."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque

__all__ = ["BestFit"]


class BestFit:
    """Fills rows from a pool of waiting samples: the one that has waited longest, then always the largest that fits.

    A row depends on the pool alone. So packing goes on exactly where it was when the same samples wait again.

    Args:
        capacity: Positions of a row.
        look_ahead: Samples that wait before a row is filled.

    >>> packer = BestFit(10, look_ahead=4)
    >>> for number, length in enumerate([4, 7, 3, 5]):
    ...     packer.add(number, length)
    >>> packer.row(), packer.row()
    ([0, 3], [1, 2])
    """

    def __init__(self, capacity: int, look_ahead: int = 512) -> None:
        self.capacity, self.look_ahead = capacity, look_ahead
        self._sorted: list[tuple[int, int]] = []
        self._arrived: deque[tuple[int, int]] = deque()
        self._taken: set[int] = set()

    def __len__(self) -> int:
        return len(self._sorted)

    @property
    def full(self) -> bool:
        """Whether enough samples wait."""
        return len(self._sorted) >= self.look_ahead

    def add(self, number: int, length: int) -> None:
        """Let a sample wait.

        Args:
            number: Which sample; numbers rise.
            length: Its positions, at most the capacity.
        """
        insort(self._sorted, (length, number))
        self._arrived.append((length, number))

    def row(self) -> list[int]:
        """Return the numbers of the samples of the next row, at least one, and let them wait no more."""
        while self._arrived[0][1] in self._taken:
            self._taken.remove(self._arrived.popleft()[1])
        first = self._arrived.popleft()
        self._sorted.pop(bisect_left(self._sorted, first))
        row, room = [first[1]], self.capacity - first[0]
        waiting = self._sorted
        while waiting and waiting[0][0] <= room:
            largest = waiting[bisect_right(waiting, (room + 1,)) - 1][0]
            # of several as large, the one that has waited longest
            length, number = waiting.pop(bisect_left(waiting, (largest,)))
            self._taken.add(number)
            row.append(number)
            room -= length
        return row
