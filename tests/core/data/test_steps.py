"""Batches of an optimizer step know the counts of the whole step, also where a run goes on in the middle of one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from anyloom.data.ledger import Ledger
from anyloom.data.loader import Batching, ResumableLoader
from anyloom.interfaces import Sample
from streams_of_words import Keys, endless, joined, order


@dataclass
class Counted:
    """A batch that counts its words, as one that is trained counts its targets."""

    keys: list[tuple[str, int]]
    words: int
    step_counts: list[dict[str, int]] | None = None

    def counts(self) -> dict[str, int]:
        return {"words": self.words}


class Counting(Keys):
    def __call__(self, samples: list[Sample]) -> Any:
        return Counted(super().__call__(samples), sum(map(self.length, samples)))


def loader(accumulated: int, rank: int = 0, world: int = 1, limit: float = 1.0) -> ResumableLoader:
    ledger = Ledger(max_bad=1.0)
    return ResumableLoader(
        order(),
        Counting(),
        Batching(4, bucket=3),
        rank=rank,
        world=world,
        ledger=ledger,
        limit=limit,
        accumulated=accumulated,
    )


def taken(made: ResumableLoader, count: int) -> list[Counted]:
    flow = endless(made)
    return [next(flow) for _ in range(count)]


def test_each_batch_has_the_counts_of_its_step() -> None:
    made = loader(4)
    batches = list(made)
    assert len(batches) == 90 // 4
    for first in range(0, len(batches), 4):
        step = batches[first : first + 4]
        assert all(b.step_counts == [{"words": x.words} for x in step] for b in step)
    assert [b.keys for b in batches] == [b.keys for b in loader(1)]


@pytest.mark.parametrize("limit", [7, 0.5])
def test_a_step_does_not_reach_over_the_end_of_a_limited_pass(limit: float) -> None:
    made = loader(4, limit=limit)
    asked = 7 if limit == 7 else 11
    batches = [next(flow) for flow in [iter(made)] for _ in range(asked)]
    assert len(batches[-1].step_counts or []) == asked % 4


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("cut", [1, 2, 3, 4, 6, 9])
def test_a_run_goes_on_in_the_middle_of_a_step(world: int, cut: int) -> None:
    whole = [loader(4, r, world) for r in range(world)]
    expected = [taken(made, 20) for made in whole]
    first = [loader(4, r, world) for r in range(world)]
    begun = [taken(made, cut) for made in first]
    state = json.loads(json.dumps(joined(first)))
    again = [loader(4, r, world) for r in range(world)]
    for made in again:
        made.load_state_dict(state)
    assert [a + taken(made, 20 - cut) for a, made in zip(begun, again)] == expected
    assert joined(again)["ledger"] == joined(whole)["ledger"]
