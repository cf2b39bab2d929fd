"""Where a stream is: a position before which everything has been handed out, and what was handed out beyond it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

__all__ = ["Handed", "merged"]


class Handed:
    """The positions of one of several processes that have been handed out. Process ``rank`` has every ``world``-th.

    Args:
        rank: Which process.
        world: Number of processes.
        position: All positions before this one have been handed out,
        beyond: and these.

    >>> handed = Handed(rank=1, world=2)
    >>> handed.add([1, 5])  # 3 is still being made
    >>> handed.state()
    {'rank': 1, 'world': 2, 'next': 3, 'beyond': [5]}
    """

    def __init__(self, rank: int, world: int, position: int = 0, beyond: Iterable[int] = ()) -> None:
        self.rank, self.world = rank, world
        self._next = -(-(position - rank) // world) * world + rank  # first of its positions from there on
        self._beyond = {p for p in beyond if p % world == rank and p >= self._next}
        self._close_up()

    def __contains__(self, position: int) -> bool:
        return position < self._next or position in self._beyond

    @property
    def next(self) -> int:
        """The first position of this process that has not been handed out."""
        return self._next

    def left(self) -> Iterator[int]:
        """All positions of this process that have not been handed out, as they are now, without end."""
        position, beyond = self._next, set(self._beyond)
        while True:
            if position not in beyond:
                yield position
            position += self.world

    def add(self, positions: Iterable[int]) -> None:
        """Hand positions out."""
        self._beyond.update(positions)
        self._close_up()

    def state(self) -> dict[str, Any]:
        """Return the place of this process: its next position, and those handed out beyond it."""
        return {"rank": self.rank, "world": self.world, "next": self._next, "beyond": sorted(self._beyond)}

    def _close_up(self) -> None:
        while self._next in self._beyond:
            self._beyond.remove(self._next)
            self._next += self.world


def merged(states: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the place of the whole stream, for any number of processes to go on from.

    Args:
        states: :meth:`Handed.state` of every process.

    >>> one, other = Handed(0, 2), Handed(1, 2)
    >>> one.add([0, 2]), other.add([1, 5])
    (None, None)
    >>> merged([one.state(), other.state()])
    {'position': 3, 'beyond': [5]}
    """
    position = min(s["next"] for s in states)
    beyond = {p for s in states for p in s["beyond"]}
    for s in states:
        first = -(-(position - s["rank"]) // s["world"]) * s["world"] + s["rank"]
        beyond.update(range(first, s["next"], s["world"]))
    return {"position": position, "beyond": sorted(p for p in beyond if p > position)}
