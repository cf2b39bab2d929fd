"""Samples that come one after another, with a state, as part of a mixture."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from anyloom import Conversation, Message
from anyloom.data.loader import Batching, ResumableLoader, SampleOrder
from anyloom.data.mixture import Mixture, Part
from anyloom.data.module import AnyToAnyData
from anyloom.data.reading import SampleSet
from anyloom.data.streams import StreamSet
from anyloom.errors import ConfigError
from anyloom.interfaces import ComponentConfig, DatasetBuilder, Sample, Stream
from streams_of_words import Keys, Words, endless, joined


class Count:
    """Numbers from 0 to 99, over and over."""

    def __init__(self) -> None:
        self.at = 0

    def __iter__(self) -> Iterator[Sample]:
        while self.at < 100:
            self.at += 1
            words = " ".join(["w"] * (1 + self.at % 5))
            yield Sample(Conversation([Message("user", words)]), "t", {"seed": 0, "index": 0}, key=f"s:{self.at - 1}")
        self.at = 0

    def state_dict(self) -> dict[str, Any]:
        return {"at": self.at}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.at = state["at"]


class Counting(DatasetBuilder):
    Config = ComponentConfig

    def build(self, split: str, epoch: int = 0) -> Stream:
        return Count()


def loader(batching: Batching, rank: int = 0, world: int = 1) -> ResumableLoader:
    sets: list[SampleSet] = [SampleSet("a", lambda epoch: Words("a")), StreamSet("s", lambda epoch: Count())]
    parts = [Part("a", 60, 1.0), Part("s", 1 << 62, 2.0, ordered=True)]
    order = SampleOrder(sets, Mixture(parts, epoch=90))
    from anyloom.data.ledger import Ledger

    return ResumableLoader(order, Keys(), batching, rank=rank, world=world, ledger=Ledger(max_bad=1.0))


def batches(made: ResumableLoader, count: int) -> list[list[str]]:
    flow = endless(made)
    return [[key for key, _ in next(flow)] for _ in range(count)]


def test_a_stream_gives_its_samples_in_its_order_pass_after_pass() -> None:
    found = [key for batch in batches(loader(Batching(5)), 80) for key in batch if key.startswith("s")]
    assert found == [f"s:{n % 100}" for n in range(len(found))]
    assert len(found) > 200


@pytest.mark.parametrize(
    "batching",
    [Batching(4), Batching(4, bucket=5), Batching(2, pack=20, look_ahead=40)],
    ids=["order", "windows", "packed"],
)
@pytest.mark.parametrize("world", [1, 2])
def test_a_run_goes_on_in_a_stream(batching: Batching, world: int) -> None:
    whole = [loader(batching, r, world) for r in range(world)]
    expected = [batches(made, 60) for made in whole]
    for cut in (1, 9, 31, 50):
        first = [loader(batching, r, world) for r in range(world)]
        begun = [batches(made, cut) for made in first]
        state = json.loads(json.dumps(joined(first)))
        again = [loader(batching, r, world) for r in range(world)]
        for made in again:
            made.load_state_dict(copy.deepcopy(state))
        rest = [batches(made, 60 - cut) for made in again]
        assert [a + b for a, b in zip(begun, rest)] == expected, cut


@pytest.mark.parametrize(
    ("options", "said"),
    [({}, "data.epoch_samples"), ({"epoch_samples": 50, "workers": 2}, "data.workers: 0")],
)
def test_what_a_stream_needs_is_said(options: dict[str, Any], said: str) -> None:
    data = AnyToAnyData({"datasets": {"s": {"name": f"{__name__}.Counting"}}, **options})
    with pytest.raises(ConfigError, match=said):
        data.order("train")
    with pytest.raises(ConfigError, match="for training only"):
        data.order("val")


def test_an_empty_stream_is_said_to_be() -> None:
    class Empty(Count):
        def __iter__(self) -> Iterator[Sample]:
            return iter(())

    order = SampleOrder([StreamSet("s", lambda epoch: Empty())], Mixture([Part("s", 9, 1.0, ordered=True)]))
    with pytest.raises(ConfigError, match="empty"):
        next(iter(ResumableLoader(order, Keys(), 2)))
