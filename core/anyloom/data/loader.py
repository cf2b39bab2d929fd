"""A loader whose order does not depend on processes, workers or batch size, and that goes on exactly where it was.

Its samples come in the order of a :class:`~anyloom.data.mixture.Mixture`: position after position, epoch after epoch,
without end. What a checkpoint keeps is the position up to which all samples have been handed out, and the few handed
out beyond it. A pass over the loader is as many batches as the samples of an epoch fill; the next pass goes on where
it ended, so that no sample is left out at a ragged end or by a pass that is left early.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from anyloom.data.ledger import Bad, Ledger, together
from anyloom.data.mixture import Mixture
from anyloom.data.pinning import pinned
from anyloom.data.plans import Plan, Planner
from anyloom.data.positions import Handed, merged
from anyloom.data.reading import Made, Prepared, Reader
from anyloom.data.sample_order import Batching, SampleOrder
from anyloom.data.streams import StreamSet
from anyloom.data.workers import Here, Result, Workers
from anyloom.errors import CheckpointError, ConfigError
from anyloom.interfaces.dataset import Samples
from anyloom.media.isolated import Isolation

__all__ = ["Batching", "ResumableLoader", "SampleOrder"]

_STATE = {"position", "beyond", "batches", "of", "order", "ledger", "streams", "step_counts"}

_MEASURED = 256
"""Samples that are measured to know how many batches the samples of an epoch fill."""


class ResumableLoader:
    """Iterates over the samples of one split, pass after pass.

    Args:
        data: The samples and their order; or what gives the samples of a pass.
        collate: Makes a batch of samples; see :class:`~anyloom.data.reading.Reader` for what else it may do.
        batch: How batches are made; a number is that of samples.
        shuffle: For ``data`` that is a function.
        seed: For ``data`` that is a function.
        bucket: For ``batch`` that is a number.
        workers: Worker processes; 0 reads here.
        prefetch: Batches that each worker makes ahead.
        persistent: Keep the workers between passes.
        pin_memory: Put batches into page-locked memory, where there is a GPU.
        rank: This process among ``world``.
        world: Number of processes; each takes every ``world``-th position.
        ledger: Counts the samples; one that raises the first error by default.
        limit: Batches of a pass that are asked for, as Lightning's ``limit_train_batches``.
        isolation: Limits of the process that decodes media; None to decode them where they are read.
        accumulated: Batches of an optimizer step. A batch with an attribute ``step_counts`` gets the ``counts()`` of
            all batches of its step, so that a step can be the mean over all of them.
        chance: Seed of what is drawn about the samples of a shuffled split; each visit gets a seed of its own.

    Raises:
        anyloom.errors.ConfigError: Samples are to be packed, and the collator has no ``pack``; or to be counted by
            tokens, and it has no ``length``.

    >>> from anyloom.conversation import Conversation
    >>> from anyloom.interfaces import Sample
    >>> samples = [Sample(Conversation([]), "caption", key=key) for key in "abc"]
    >>> loader = ResumableLoader(lambda epoch: samples, lambda batch: [s.key for s in batch], 2, shuffle=False)
    >>> list(loader)
    [['a', 'b'], ['c']]
    """

    def __init__(
        self,
        data: SampleOrder | Callable[[int], Samples],
        collate: Callable[[list[Any]], Any],
        batch: Batching | int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        bucket: int = 1,
        workers: int = 0,
        prefetch: int = 2,
        persistent: bool = True,
        pin_memory: bool = False,
        rank: int = 0,
        world: int = 1,
        ledger: Ledger | None = None,
        limit: float = 1.0,
        accumulated: int = 1,
        isolation: Isolation | None = None,
        chance: int = 0,
    ) -> None:
        self.data = data if isinstance(data, SampleOrder) else SampleOrder.of(data, shuffle=shuffle, seed=seed)
        self.batching = batch if isinstance(batch, Batching) else Batching(batch, bucket)
        measures = hasattr(collate, "prepare") or hasattr(collate, "length")
        if self.batching.pack is not None and not (measures and hasattr(collate, "pack")):
            raise ConfigError(
                "what is trained cannot take packed samples", where="data.pack", fix="use data.batch_tokens"
            )
        if self.batching.tokens is not None and not measures:
            raise ConfigError(
                "what is trained does not say how long a sample is",
                where="data.batch_tokens",
                fix="use data.batch_size",
            )
        longest = [n for n in (self.batching.tokens, self.batching.pack) if n is not None]
        visited = chance if self.data.shuffle else None
        self.reader = Reader(self.data.sets, collate, min(longest, default=None), isolation, visited)
        self.workers, self.prefetch, self.persistent, self.pin_memory = workers, prefetch, persistent, pin_memory
        self.rank, self.world, self.limit, self.accumulated = rank, world, limit, accumulated
        self.ledger = ledger or Ledger(strict=True)
        self.batches = 0
        self.finished = False
        self._length: int | None = None
        self._resumed = False
        self._handed = Handed(rank, world)
        self._flow: Iterator[tuple[Plan, Made]] | None = None
        self._drawn: deque[tuple[list[tuple[Plan, Made]], Any]] = deque()  # of a step, not handed out yet
        self._step_counts: list[Any] = []  # of the batches of a step that have been handed out
        self._pool: Here | Workers | None = None

    def __len__(self) -> int:
        return self._whole if self._length is None or self.batches >= self._length else self._length

    def __iter__(self) -> Iterator[Any]:
        """Batches of the next pass; after :meth:`load_state_dict` the rest of the pass that was left."""
        if not self.data.shuffle:
            self._forget_drawn()
            self._handed = Handed(self.rank, self.world)
            self.ledger.clear()
        if not self._resumed:
            self.batches, self._length, self._step_counts = 0, None, []
        self._resumed = False
        length, asked = len(self), self._asked(len(self))
        while self.batches < length:
            if not self._drawn:
                end = asked if self.batches < asked else length
                self._draw(min(self.accumulated - len(self._step_counts), end - self.batches))
            if not self._drawn:
                self._cut()
                break
            made, batch = self._drawn.popleft()
            for plan, result in made:
                self._count(plan, result)
            self.batches += 1
            self._step_counts.append(_counts_of(batch))
            if not self._drawn:
                self._step_counts = []
            yield batch
        if not self.persistent:
            self.close()

    def _draw(self, count: int) -> None:
        """Make the batches of a step. They count as handed out when they are."""
        if self._flow is None:
            self._flow = self._made()
        made: list[tuple[Plan, Made]] = []
        for plan, result in self._flow:
            if not result.used and not self._drawn and not made:
                self._count(plan, result)  # all are bad, and nothing before them waits: the order may hold no others
                continue
            made.append((plan, result))
            if result.used:  # else all samples of the batch were bad, which is counted with the next one
                pin = self.pin_memory and torch.cuda.is_available()
                self._drawn.append((made, pinned(result.batch) if pin else result.batch))
                made = []
            if len(self._drawn) == count:
                break
        for plan, result in made:  # bad to the very end
            self._count(plan, result)
        counts = self._step_counts + [_counts_of(batch) for _, batch in self._drawn]
        for _, batch in self._drawn:
            if hasattr(batch, "step_counts"):
                batch.step_counts = counts

    def _asked(self, length: int) -> int:
        return int(length * self.limit) if isinstance(self.limit, float) else min(self.limit, length)

    def _forget_drawn(self) -> None:
        self._flow = None
        self._drawn.clear()

    @functools.cached_property
    def _whole(self) -> int:
        """Batches that the samples of an epoch fill. The length of a pass of packed rows is an estimate.

        A process that gets none of the few samples of a split says one all the same: lightning leaves out a loop
        without batches, at the end of which the other processes would wait for this one.
        """
        epoch, size = self.data.order.epoch, self.batching.size
        if not self.data.shuffle:
            return -(-len(range(self.rank, epoch, self.world)) // size) or min(epoch, 1)
        if self.batching.tokens is None and self.batching.pack is None:
            return epoch // (self.world * size)
        found = self.reader.prepare(self.data.order.draws(0, min(_MEASURED, epoch)))
        lengths = [p.length for p in found if isinstance(p, Prepared)]
        room = self.batching.tokens or (self.batching.pack or 0) * size
        return max(1, round(epoch * sum(lengths) / len(lengths) / (room * self.world))) if lengths else 0

    def from_start(self) -> ResumableLoader:
        """Return a loader of the same batches from the beginning, which leaves this one where it is."""
        other = copy.copy(self)
        other.workers, other.ledger = 0, Ledger(max_bad=1.0)
        other.batches, other._length, other._resumed = 0, None, False
        other._handed, other._flow, other._pool = Handed(self.rank, self.world), None, None
        other._drawn, other._step_counts = deque(), []
        return other

    def close(self) -> None:
        """End the workers. What they made ahead is made again by the next pass."""
        self._forget_drawn()
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream is, over all processes; plain values. Every process has to call it."""
        return self.joined_state(self._of_all(self.local_state()))

    def whole_ledger(self) -> Ledger:
        """Return the ledger over all processes. Every process has to call it."""
        whole = Ledger(max_bad=self.ledger.max_bad)
        whole.load(together(self._of_all(self.ledger.state())))
        return whole

    def _of_all(self, mine: dict[str, Any]) -> list[dict[str, Any]]:
        states = [mine]
        if self.world > 1 and torch.distributed.is_available() and torch.distributed.is_initialized():
            states = [mine] * self.world
            torch.distributed.all_gather_object(states, mine)
        return states

    def local_state(self) -> dict[str, Any]:
        """Return where this process is."""
        return {
            "handed": self._handed.state(),
            "ledger": self.ledger.state(),
            "streams": {s.name: s.kept() for s in self.data.sets if isinstance(s, StreamSet)},
            "step_counts": list(self._step_counts),
        }

    def joined_state(self, states: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the state of the stream, from which any number of processes can go on.

        Args:
            states: :meth:`local_state` of every process.
        """
        place = merged([s["handed"] for s in states])
        return {
            **place,
            "batches": self.batches,
            "of": self._whole if self._length is None else self._length,
            "order": self._fingerprint(),
            "ledger": together([s["ledger"] for s in states]),
            "streams": self._stream_states(place["position"], states[0]["streams"]),
            "step_counts": [s["step_counts"] for s in states],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the samples that were handed out before, with this loader's processes and batch size.

        Raises:
            anyloom.errors.CheckpointError: The state is not one of this loader's.
        """
        missing = _STATE - set(state)
        if missing:
            raise CheckpointError(
                f"the state of the data has no {', '.join(sorted(missing))}",
                where="ckpt_path",
                fix="start anew from the result: an older version wrote this checkpoint",
            )
        self._take_order(state["order"])
        self.close()
        whole = self._whole  # measured on streams at their beginning
        self._handed = Handed(self.rank, self.world, state["position"], state["beyond"])
        self.ledger.load(state["ledger"])
        for samples in self.data.sets:
            if isinstance(samples, StreamSet) and samples.name in state["streams"]:
                samples.load(state["streams"][samples.name])
        done, of = state["batches"], state["of"]
        self._resumed = 0 < done < self._asked(of)
        steps = state["step_counts"]
        self._step_counts = list(steps[self.rank]) if self._resumed and len(steps) == self.world else []
        # the rest of the pass is the same share of it, whatever size batches have now
        self.batches = done if self._resumed else 0
        self._length = done + (of - done) * whole // of if self._resumed else None

    def _stream_states(self, position: int, kept: dict[str, dict[int, Any]]) -> dict[str, Any]:
        """Of each stream the last state before a position."""
        if not kept:
            return {}
        assert isinstance(self.data.order, Mixture)
        names = [s.name for s in self.data.sets]
        places = dict(zip(names, self.data.order.drawn(position)))
        at = {name: max((a for a in states if a <= places[name]), default=0) for name, states in kept.items()}
        return {name: {"at": at[name], "state": states.get(at[name])} for name, states in kept.items()}

    def _take_order(self, kept: Any) -> None:
        """Go on in the order of the checkpoint: a pass that changes its seed would repeat samples and lose others."""
        mine = self._fingerprint()
        if kept == mine:
            return
        if isinstance(kept, list) and kept[1:] == mine[1:] and isinstance(kept[0], int):
            self.data = self.data.with_seed(kept[0])
            what = f"the run goes on in the order of data.seed {kept[0]}, with which it began, and not of {mine[0]}"
        else:
            what = "the data are not those of the checkpoint: samples may come twice or not at all"
        warnings.warn(what, stacklevel=3)

    def _fingerprint(self) -> list[Any]:
        order = self.data.order
        return [self.data.seed, order.epoch, [s.name for s in self.data.sets]]

    def _made(self) -> Iterator[tuple[Plan, Made]]:
        """Batches without end, made ahead."""
        if self._pool is None:
            self._pool = Workers(self.reader, self.workers) if self.workers else Here(self.reader)
        plans = self._plans(self._pool)
        waiting: deque[tuple[Plan, Result | None]] = deque()
        depth = max(1, self.workers * self.prefetch)
        while True:
            while len(waiting) < depth and (plan := next(plans, None)) is not None:
                waiting.append((plan, self._begun(self._pool, plan)))
            if not self._all_have(bool(waiting)):
                return
            plan, result = waiting.popleft()
            yield plan, Made(None, [], []) if result is None else result.result()

    def _plans(self, pool: Here | Workers) -> Iterator[Plan]:
        planner = Planner(self.data.order, pool, self._handed, self.batching.size, self.data.seed)
        if not self.data.shuffle or not self.reader.measures:
            return planner.in_order()
        if self.batching.pack is not None:
            return planner.packed(self.batching.pack, self.batching.look_ahead)
        if self.batching.bucket == 1 and self.batching.tokens is None:
            return planner.in_order()
        return planner.in_windows(self.batching.bucket, self.batching.tokens)

    def _begun(self, pool: Here | Workers, plan: Plan) -> Result | None:
        if plan.draws:
            return pool.submit("read", plan.draws)
        return pool.submit("make", plan.rows, packed=self.batching.pack is not None) if plan.rows else None

    def _count(self, plan: Plan, made: Made) -> None:
        """Hand out the positions of a batch and count them, together: a checkpoint has both or neither."""
        names = [self.data.sets[d.part].name for d in plan.draws] + [p.part for row in plan.rows for p in row]
        bad: list[Bad] = plan.bad + made.bad
        self._handed.add([*plan.positions, *(b.position for b in plan.bad)])
        self.ledger.count([*names, *(b.part for b in plan.bad)], "read")
        self.ledger.count(made.used, "used")
        self.ledger.count(made.lost, "turns_lost")
        self.ledger.skip(bad)

    def _all_have(self, more: bool) -> bool:
        """Whether every process has a batch. Only a finite order asks the others: it may end sooner for some."""
        finite = self.data.shuffle and self.data.order.total is not None
        if not finite or self.world == 1 or not torch.distributed.is_initialized():
            return more
        answers = [more] * self.world
        torch.distributed.all_gather_object(answers, more)
        return all(answers)

    def _cut(self) -> None:
        """Count what is left at the end of a finite order and does not fill a batch in every process."""
        self.finished = True
        total = self.data.order.total or 0
        draws = self.data.order.draws(self._handed.next, total, rank=self.rank, world=self.world)
        left = [d for d in draws if d.position not in self._handed]
        names = [self.data.sets[d.part].name for d in left]
        self._handed.add(d.position for d in left)
        self.ledger.count(names, "read")
        self.ledger.count(names, "cut")


def _counts_of(batch: Any) -> Any:
    counts = getattr(batch, "counts", None)
    return counts() if callable(counts) else None
