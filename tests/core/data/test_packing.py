from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyloom.data.loader import Batching, ResumableLoader
from anyloom.data.packing import BestFit
from anyloom.errors import ConfigError
from streams_of_words import Keys, Words, close, endless, loaders


def rows(lengths: list[int], capacity: int, look_ahead: int) -> Iterator[list[int]]:
    packer = BestFit(capacity, look_ahead)
    for number, length in enumerate(lengths):
        packer.add(number, length)
        while packer.full:
            yield packer.row()
    while len(packer):
        yield packer.row()


@given(lengths=st.lists(st.integers(1, 20), max_size=60), extra=st.integers(0, 15), look_ahead=st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_no_sample_is_split_lost_or_repeated(lengths: list[int], extra: int, look_ahead: int) -> None:
    capacity = max(lengths, default=1) + extra
    found = list(rows(lengths, capacity, look_ahead))
    assert sorted(n for row in found for n in row) == list(range(len(lengths)))
    assert all(sum(lengths[n] for n in row) <= capacity for row in found)


@given(lengths=st.lists(st.integers(1, 20), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_row_takes_the_longest_waiting_and_then_the_largest_that_fits(lengths: list[int]) -> None:
    """Against the definition, computed without any structure."""
    waiting = list(enumerate(lengths))
    for row in rows(lengths, 25, 1000):
        expected = [waiting.pop(0)]
        while fitting := [w for w in waiting if w[1] <= 25 - sum(n for _, n in expected)]:
            largest = max(length for _, length in fitting)
            expected.append(next(w for w in fitting if w[1] == largest))
            waiting.remove(expected[-1])
        assert row == [number for number, _ in expected]


SHARES = {"text": (0.40, 4.3), "image": (0.30, 4.2), "audio": (0.15, 5.0), "video": (0.15, 5.8)}


def mixed_lengths(count: int, seed: int = 0) -> list[int]:
    """Text, image, audio and video in shares of 40, 30, 15 and 15 %; log-normal lengths up to 1,024."""
    draw = random.Random(seed)
    kinds = draw.choices(list(SHARES), [share for share, _ in SHARES.values()], k=count)
    return [min(1024, max(8, int(draw.lognormvariate(SHARES[kind][1], 0.8)))) for kind in kinds]


@pytest.mark.parametrize("capacity", [1024, 2048, 4096])
def test_less_than_one_cell_of_a_hundred_is_padding(capacity: int) -> None:
    lengths = mixed_lengths(20_000)
    found = list(rows(lengths, capacity, 512))[:-20]  # the rest of the last ones is not full
    used = sum(lengths[n] for row in found for n in row)
    assert 1 - used / (len(found) * capacity) <= 0.01


class Sizes(Keys):
    """Batches say the words of each row."""

    def __call__(self, samples: list) -> list[int]:  # type: ignore[type-arg,override]
        return [self.length(s) for s in samples]

    def pack(self, given: list) -> list[list[int]]:  # type: ignore[type-arg,override]
        return [self(row) for row in given]


def sizes(batching: Batching, count: int) -> list:  # type: ignore[type-arg]
    made = ResumableLoader(lambda epoch: Words("a", broken=False), Sizes(), batching)
    flow = endless(made)
    return [next(flow) for _ in range(count)]


def test_a_batch_of_packed_rows_is_as_many_rows_as_it_is_to_have() -> None:
    found = sizes(Batching(3, pack=24, look_ahead=30), 20)
    assert all(len(batch) == 3 for batch in found)
    assert all(sum(row) <= 24 for batch in found for row in batch)
    assert sum(sum(row) for batch in found for row in batch) / (20 * 3 * 24) > 0.95


def test_a_batch_by_tokens_has_no_more_cells_than_allowed() -> None:
    found = sizes(Batching(4, bucket=15, tokens=40), 40)
    cells = [len(batch) * max(batch) for batch in found]
    assert max(cells) <= 40
    assert len({len(batch) for batch in found}) > 2
    assert sum(sum(b) for b in found) / sum(cells) > 0.85


def test_windows_of_similar_length_have_little_padding() -> None:
    share = {}
    for bucket in (1, 15):
        found = sizes(Batching(4, bucket=bucket), 60)
        share[bucket] = 1 - sum(sum(b) for b in found) / sum(len(b) * max(b) for b in found)
    assert share[15] < 0.08 < 0.3 < share[1]


@pytest.mark.parametrize("batching", [Batching(2, pack=8, look_ahead=9), Batching(4, bucket=2, tokens=8)])
def test_samples_longer_than_a_row_are_counted(batching: Batching) -> None:
    (made,) = loaders(1, batching)
    flow = endless(made)
    found = [key for _ in range(30) for key, _ in next(flow)]
    assert found
    assert all(1 + (int(key.split(":")[1]) * 7) % 12 <= 8 for key in found)
    assert made.ledger.total()["skipped"]["too long"] > 0
    close([made])


def test_what_cannot_be_packed_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.pack"):
        ResumableLoader(lambda epoch: Words("a"), len, Batching(2, pack=8))
    with pytest.raises(ConfigError, match=r"data\.batch_tokens"):
        ResumableLoader(lambda epoch: Words("a"), len, Batching(2, tokens=8))


def test_the_length_of_a_packed_pass_is_about_that_of_an_epoch() -> None:
    made = ResumableLoader(lambda epoch: Words("a", broken=False), Keys(broken=False), Batching(2, pack=24))
    whole = len(list(made))
    assert sum(1 + (i * 7) % 12 for i in range(60)) / (24 * 2) == pytest.approx(whole, abs=1)
