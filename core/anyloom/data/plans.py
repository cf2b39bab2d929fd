"""Which samples make the next batch: as they come, sorted by length in windows, by a budget of tokens, or packed.

Every plan is a function of the positions that have not been handed out. So it needs no state of its own, and goes on
after an interruption as it would have without one.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from anyloom.data.ledger import Bad
from anyloom.data.mixture import Draw, Order
from anyloom.data.packing import BestFit
from anyloom.data.positions import Handed
from anyloom.data.reading import Prepared
from anyloom.data.workers import Here, Result, Workers

__all__ = ["Plan", "Planner"]

_CHUNK = 16
"""Samples that a worker prepares at a time."""


@dataclass
class Plan:
    """A batch to be made.

    Args:
        draws: What to read for it, if it is read and made in one.
        rows: Samples that were read for it; several share a row if they are packed.
        bad: Samples that were found bad while it was planned.

    >>> Plan(rows=[[Prepared(4, "mine", "a.jsonl:5", item=None, length=9)]]).positions
    [4]
    """

    draws: list[Draw] = field(default_factory=list)
    rows: list[list[Prepared]] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)

    @property
    def positions(self) -> list[int]:
        """All positions that are handed out with the batch, but for those in ``bad``."""
        return [d.position for d in self.draws] + [p.position for row in self.rows for p in row]


class Planner:
    """Plans the batches of one process.

    Args:
        order: What positions stand for.
        pool: Prepares samples.
        handed: What has been handed out before.
        batch_size: Samples of a batch; rows, if they are packed.
        seed: Of the order of batches in a window.
    """

    def __init__(
        self,
        order: Order,
        pool: Here | Workers,
        handed: Handed,
        batch_size: int,
        seed: int,
    ) -> None:
        self.order, self.pool, self.batch_size, self.seed = order, pool, batch_size, seed
        self.rank, self.world = handed.rank, handed.world
        self.handed = copy.deepcopy(handed)  # what is handed out from here on is planned here
        self.ahead = max(1, pool.count) * 2

    def in_order(self) -> Iterator[Plan]:
        """Batches of samples as they come."""
        draws = self._left()
        while batch := list(itertools.islice(draws, self.batch_size)):
            yield Plan(draws=batch)

    def in_windows(self, bucket: int, tokens: int | None) -> Iterator[Plan]:
        """Batches of similar length, out of windows of as many positions as ``bucket`` batches have.

        The batches of a window come in random order. No window reaches into the next epoch, but for what fills its
        last batch.

        Args:
            bucket: Batches of a window.
            tokens: Cells of a batch, padding included, in place of a number of samples.
        """
        size = self.batch_size * self.world
        waiting: deque[tuple[int, list[Result]]] = deque()
        begin, end = self._window(self.handed.next // size, bucket)
        while True:
            while len(waiting) < 2:  # one is handed out while the next is read
                waiting.append((begin, self._prepare(self._draws(begin * size, end * size))))
                begin, end = self._window(end, bucket)
            first, results = waiting.popleft()
            found = [p for result in results for p in result.result()]
            if not found and self.order.total is not None and first * size >= self.order.total:
                return
            yield from self._of_window(first, found, tokens)

    def _window(self, batch: int, bucket: int) -> tuple[int, int]:
        """First batch of the window that a batch is in, and of the next one: every epoch begins a new one."""
        size, epoch = self.batch_size * self.world, batch * self.batch_size * self.world // self.order.epoch
        first, last = (-(-e * self.order.epoch // size) for e in (epoch, epoch + 1))
        begin = first + (batch - first) // bucket * bucket
        return begin, min(begin + bucket, last)

    def packed(self, capacity: int, look_ahead: int) -> Iterator[Plan]:
        """Batches of rows that are filled up with samples.

        Args:
            capacity: Positions of a row.
            look_ahead: Samples among which those that fit are sought.
        """
        # samples of several epochs do not wait together, or one would come twice in a row
        look_ahead = min(look_ahead, max(1, self.order.epoch // self.world))
        packer, waiting = BestFit(capacity, look_ahead), dict[int, Prepared]()
        plan = Plan()
        for found in self._stream():
            if isinstance(found, Bad):
                plan.bad.append(found)
            else:
                packer.add(found.position, found.length)
                waiting[found.position] = found
            while packer.full:
                plan.rows.append([waiting.pop(p) for p in packer.row()])
                if len(plan.rows) == self.batch_size:
                    yield plan
                    plan = Plan()
        while len(packer):
            plan.rows.append([waiting.pop(p) for p in packer.row()])
            if len(plan.rows) == self.batch_size:
                yield plan
                plan = Plan()
        if plan.rows or plan.bad:
            yield plan

    def _draws(self, start: int, stop: int) -> list[Draw]:
        return self.order.draws(start, stop, rank=self.rank, world=self.world)

    def _left(self) -> Iterator[Draw]:
        """What the positions of this process that are left stand for."""
        positions = self.handed.left()
        while True:
            some = list(itertools.islice(positions, 256))
            draws = {d.position: d for d in self._draws(some[0], some[-1] + 1)}
            found = [draws[p] for p in some if p in draws]
            yield from found
            if len(found) < len(some):
                return

    def _stream(self) -> Iterator[Prepared | Bad]:
        """Samples of the positions that are left, read ahead of their use."""
        draws = self._left()
        waiting: deque[Result] = deque()
        while True:
            while len(waiting) < self.ahead and (chunk := list(itertools.islice(draws, _CHUNK))):
                waiting.append(self.pool.submit("prepare", chunk))
            if not waiting:
                return
            yield from waiting.popleft().result()

    def _prepare(self, draws: Sequence[Draw]) -> list[Result]:
        chunks = [draws[i : i + _CHUNK] for i in range(0, len(draws), _CHUNK)]
        return [self.pool.submit("prepare", chunk) for chunk in chunks]

    def _of_window(self, number: int, found: list[Prepared | Bad], tokens: int | None) -> Iterator[Plan]:
        """Batches of a window. One that was handed out in part goes on as it was begun, if its batches are the same."""
        samples = [p for p in found if isinstance(p, Prepared)]
        bad = [p for p in found if isinstance(p, Bad) and p.position not in self.handed]
        batches = self._cut(number, samples, tokens)
        known = [[p.position in self.handed for p in batch] for batch in batches]
        if any(any(k) and not all(k) for k in known):
            batches = self._cut(number, [p for p in samples if p.position not in self.handed], tokens)
        else:
            batches = [batch for batch, k in zip(batches, known) if not any(k)]
        if bad and not batches:
            yield Plan(bad=bad)
        for n, batch in enumerate(batches):
            yield Plan(rows=[[p] for p in batch], bad=bad if n == 0 else [])

    def _cut(self, number: int, samples: Sequence[Prepared], tokens: int | None) -> list[list[Prepared]]:
        batches: list[list[Prepared]] = []
        for sample in sorted(samples, key=lambda p: (p.length, p.position)):
            last = batches[-1] if batches else []
            # sorted, so the last is the longest and decides what all take
            fits = len(last) < self.batch_size if tokens is None else (len(last) + 1) * sample.length <= tokens
            if last and fits:
                last.append(sample)
            else:
                batches.append([sample])
        random.Random(f"{self.seed}/{number}").shuffle(batches)
        return batches
