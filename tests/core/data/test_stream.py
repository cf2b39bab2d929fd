"""The stream against its order: whatever the processes, workers and batch sizes, and wherever it is interrupted."""

from __future__ import annotations

import copy
import itertools
import json
import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest

from anyloom.data.ledger import Ledger
from anyloom.data.loader import Batching, ResumableLoader
from anyloom.interfaces import Sample
from streams_of_words import SIZES, close, joined, loaders, order, steps

WAYS = {
    "in order": Batching(4),
    "in windows": Batching(4, bucket=3),
    "by tokens": Batching(4, bucket=3, tokens=30),
    "packed": Batching(2, pack=16, look_ahead=20),
}


def expected(count: int) -> list[tuple[str, int, bool]]:
    """Key and seed of the first positions, and whether the sample can be used."""
    draws = order().order.draws(0, count)
    names = list(SIZES)
    return [(f"{names[d.part]}:{d.index}", d.seed, d.index % 10 != 3 and d.index % 11 != 5) for d in draws]


def handed(state: dict[str, Any]) -> list[int]:
    return [*range(state["position"]), *state["beyond"]]


def used(result: list[list[list[tuple[str, int]]]]) -> list[tuple[str, int]]:
    return [pair for step in result for batch in step for pair in batch]


CUTS = [(1, 4, 0), (1, 4, 1), (1, 4, 2), (1, 4, 4), (2, 2, 0), (2, 2, 2), (4, 1, 0), (4, 1, 1)]


@pytest.mark.parametrize(("world", "size", "workers"), CUTS)
def test_steps_are_the_same_for_every_number_of_processes_and_workers(world: int, size: int, workers: int) -> None:
    """Every fourth position to each of four processes, or four to one: the step is positions 4n to 4n + 3."""
    made = loaders(world, Batching(size), workers=workers)
    found = [sorted(pair for batch in step for pair in batch) for step in steps(made, 12)]
    close(made)
    whole = expected(100)
    wanted = [[(k, s) for k, s, good in whole[n : n + 4] if good] for n in range(0, 100, 4)]
    if size == 4:
        assert found == [sorted(w) for w in wanted if w][:12]
    else:  # a process whose samples are all bad gets its next ones a step earlier
        flat = [pair for step in found for pair in step]
        assert len(set(flat)) == len(flat)
        assert set(flat) <= {(k, s) for k, s, good in whole if good}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(way: str, workers: int) -> None:
    alone, helped = loaders(1, WAYS[way]), loaders(1, WAYS[way], workers=workers)
    assert steps(alone, 25) == steps(helped, 25)
    assert joined(alone) == joined(helped)
    close(helped)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("world", [1, 2, 4])
def test_what_was_handed_out_is_what_was_used_or_is_bad(way: str, world: int) -> None:
    made = loaders(world, WAYS[way])
    found = used(steps(made, 20))
    state = joined(made)
    whole = expected(3000)
    mine = [whole[p] for p in handed(state)]
    assert Counter(found) == Counter((k, s) for k, s, good in mine if good)
    total = state["ledger"]["before"]
    counts = sum((Counter(c) for c in total.values()), Counter())
    assert counts["read"] == len(mine)
    assert counts["used"] == len(found)
    assert counts["skipped/missing"] == sum(int(k.split(":")[1]) % 10 == 3 for k, _, _ in mine)
    assert counts["read"] == counts["used"] + counts["skipped/missing"] + counts["skipped/wrong format"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("world", [1, 2])
def test_a_run_that_goes_on_as_it_was_is_the_unbroken_one(way: str, world: int) -> None:
    whole = loaders(world, WAYS[way])
    unbroken = steps(whole, 40)
    for cut in (1, 2, 7, 13, 29):
        first = loaders(world, WAYS[way])
        begun = steps(first, cut)
        state = json.loads(json.dumps(joined(first)))
        again = loaders(world, WAYS[way])
        for loader in again:
            loader.load_state_dict(copy.deepcopy(state))
        assert begun + steps(again, 40 - cut) == unbroken, cut
        assert joined(again)["ledger"] == joined(whole)["ledger"]
        assert handed(joined(again)) == handed(joined(whole))


LAYOUTS = list(itertools.product([1, 2, 4], [1, 2, 3, 5]))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_other_processes_and_batch_sizes_lose_and_repeat_nothing(way: str, seed: int) -> None:
    """A run that is cut again and again and goes on each time with other processes and another batch size."""
    draw = random.Random(seed)
    state, found = None, []
    for _ in range(12):
        world, size = draw.choice(LAYOUTS)
        made = loaders(world, Batching(**{**vars(WAYS[way]), "size": size}))
        for loader in made if state else []:
            loader.load_state_dict(copy.deepcopy(state))
        found += used(steps(made, draw.randint(1, 8)))
        state = joined(made)
    assert state is not None
    whole = expected(5000)
    mine = [whole[p] for p in handed(state)]
    assert Counter(found) == Counter((k, s) for k, s, good in mine if good)
    # nothing lags behind: what was handed out beyond the position is a window or a pool, not a growing heap
    assert len(state["beyond"]) <= 200
    counts = sum((Counter(c) for c in state["ledger"]["before"].values()), Counter())
    assert (counts["read"], counts["used"]) == (len(mine), len(found))


@pytest.mark.parametrize("way", WAYS)
def test_a_finite_order_ends_with_every_sample_used_or_counted(way: str) -> None:
    made = loaders(1, WAYS[way], order(epochs=2, a=1.0, b=1.0))
    found = [batch for _ in range(60) for batch in made[0]]
    assert made[0].finished
    keys = Counter(key for batch in found for key, _ in batch)
    good = [f"{n}:{i}" for n in "ab" for i in range(SIZES[n]) if i % 10 != 3 and i % 11 != 5]
    assert keys == dict.fromkeys(good, 2)
    total = made[0].ledger.total()
    assert total["read"] == 2 * (60 + 23)
    assert total["read"] == total["used"] + sum(total["skipped"].values()) + total["cut"]


@dataclass(frozen=True)
class Item:
    key: str
    length: int


class Preparing:
    """A collator that prepares a sample once, and makes batches of what it prepared."""

    def __init__(self) -> None:
        self.prepared: Counter[str] = Counter()

    def prepare(self, sample: Sample) -> Item:
        self.prepared[sample.key] += 1
        return Item(sample.key, len(sample.conversation.messages[0].text))

    def __call__(self, items: list[Item]) -> list[str]:
        assert all(isinstance(item, Item) for item in items)
        return [item.key for item in items]

    def pack(self, rows: list[list[Item]]) -> list[str]:
        return [key for row in rows for key in self(row)]


@pytest.mark.parametrize("way", WAYS)
def test_a_sample_is_prepared_once(way: str) -> None:
    collate = Preparing()
    batching = replace(WAYS[way], tokens=WAYS[way].tokens and 200, pack=WAYS[way].pack and 100)
    made = ResumableLoader(order(), collate, batching, ledger=Ledger(max_bad=1.0))
    count = len(made)  # of packed rows, measured on the first samples
    measured = collate.prepared.copy()
    found = Counter(key for batch in itertools.islice(made, min(count, 12)) for key in batch)
    again = collate.prepared - measured
    assert all(again[key] >= number for key, number in found.items())
    assert sum(again.values()) <= sum(found.values()) + 60  # and what was read ahead: a window, or the pool
