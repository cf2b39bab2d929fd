from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyloom.data.mixture import Draw, Mixture, Part, weights_of
from anyloom.data.order import ShardShuffle, Shuffle


@given(size=st.integers(1, 3000), seed=st.integers(0, 2**62))
@settings(max_examples=60, deadline=None)
def test_a_shuffle_is_a_permutation(size: int, seed: int) -> None:
    assert sorted(Shuffle(size, seed)(np.arange(size)).tolist()) == list(range(size))


def test_places_of_a_shuffle_are_even() -> None:
    """Chi-square of where place 0 goes, over 6,000 seeds: 29 degrees of freedom, 99.9 % below 58.3."""
    found = Counter(int(Shuffle(30, seed)(np.array([0]))[0]) for seed in range(6_000))
    expected = 6_000 / 30
    assert sum((found[i] - expected) ** 2 / expected for i in range(30)) < 58.3


def test_a_shuffle_of_ten_billion_places_takes_no_memory() -> None:
    places = np.array([0, 1, 10**10 - 1])
    found = Shuffle(10**10, 3)(places)
    assert len(set(found.tolist())) == 3
    assert found.max() < 10**10


@given(lengths=st.lists(st.integers(1, 30), min_size=1, max_size=40), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_shards_stay_together(lengths: list[int], seed: int) -> None:
    edges = np.cumsum([0, *lengths]).tolist()
    order = ShardShuffle([range(a, b) for a, b in itertools.pairwise(edges)], seed)(np.arange(edges[-1]))
    assert sorted(order.tolist()) == list(range(edges[-1]))
    shards = np.searchsorted(edges, order, side="right") - 1
    # at most eight shards are open at once: between a shard's first and last sample lie samples of seven others
    for shard in range(len(lengths)):
        span = np.flatnonzero(shards == shard)
        assert len(set(shards[span[0] : span[-1] + 1].tolist())) <= 8


def indices(draws: list[Draw], part: int, turn: int) -> list[int]:
    return [d.index for d in draws if (d.part, d.turn) == (part, turn)]


PARTS = [Part("a", 70, 70.0), Part("b", 31, 31.0), Part("c", 0, 0.0), Part("d", 1, 1.0)]


def test_without_weights_every_epoch_has_every_sample_once_in_a_new_order() -> None:
    mixture = Mixture(PARTS, seed=5)
    assert (mixture.epoch, mixture.total) == (102, None)
    epochs = [mixture.draws(e * 102, (e + 1) * 102) for e in range(3)]
    for turn, draws in enumerate(epochs):
        assert [sorted(indices(draws, p, turn)) for p in (0, 1, 3)] == [list(range(70)), list(range(31)), [0]]
    assert len({tuple(indices(draws, 0, turn)) for turn, draws in enumerate(epochs)}) == 3
    assert len({d.seed for draws in epochs for d in draws}) == 3 * 102


@given(cuts=st.lists(st.integers(0, 400), max_size=8), weights=st.lists(st.floats(0.1, 9), min_size=3, max_size=3))
@settings(max_examples=25, deadline=None)
def test_any_stretch_of_an_order_is_that_of_the_whole(cuts: list[int], weights: list[float]) -> None:
    parts = [Part(n, s, w) for (n, s), w in zip((("a", 50), ("b", 3), ("c", 17)), weights)]
    whole = Mixture(parts, seed=1).draws(0, 400)
    edges = [0, *sorted(cuts), 400]
    assert [d for a, b in itertools.pairwise(edges) for d in Mixture(parts, seed=1).draws(a, b)] == whole
    assert [d.position for d in whole] == list(range(400))


def test_shares_follow_weights_at_every_place() -> None:
    """Low discrepancy: no set is ever further from its share than a few samples."""
    parts = [Part("a", 1000, 5.0), Part("b", 20, 3.0), Part("c", 300, 0.1)]
    draws = Mixture(parts, seed=2).draws(0, 8_000)
    shares = np.array([5.0, 3.0, 0.1]) / 8.1
    counts = np.cumsum(np.eye(3)[[d.part for d in draws]], axis=0)
    off = np.abs(counts - np.arange(1, len(draws) + 1)[:, None] * shares)
    assert off.max() < 6
    for part, size in enumerate((1000, 20, 300)):
        turns = Counter(d.turn for d in draws if d.part == part)
        full = [t for t in turns if t < max(turns)]
        assert all(sorted(indices(draws, part, t)) == list(range(size)) for t in full[:5])


def test_a_set_of_one_sample_in_a_million_comes_as_often_as_it_should() -> None:
    mixture = Mixture([Part("a", 100_000, 999_999.0), Part("b", 1, 1.0)], epoch=25_000)
    assert sum(d.part == 1 for e in range(80) for d in mixture.draws(e * 25_000, (e + 1) * 25_000)) == 2


def test_a_limited_set_is_over_after_its_passes_and_leaves_its_share_to_the_others() -> None:
    parts = [Part("a", 10, 1.0, epochs=2), Part("b", 7, 1.0)]
    draws = Mixture(parts, epoch=16).draws(0, 160)
    assert len(draws) == 160
    assert Counter(d.index for d in draws if d.part == 0) == dict.fromkeys(range(10), 2)
    assert {d.part for d in draws[48:]} == {1}


def test_an_order_of_limited_sets_ends() -> None:
    parts = [Part("a", 10, 3.0, epochs=1.5), Part("b", 7, 1.0, epochs=1)]
    mixture = Mixture(parts)
    assert mixture.total == 22
    draws = mixture.draws(0, 1000)
    assert Counter(d.part for d in draws) == {0: 15, 1: 7}


def test_a_number_of_samples_picks_the_same_ones_in_every_pass() -> None:
    mixture = Mixture([Part("a", 1000, 1.0, max_samples=9, shards=[range(0, 400), range(400, 1000)])])
    assert mixture.epoch == 9
    passes = [{d.index for d in mixture.draws(e * 9, e * 9 + 9)} for e in range(3)]
    assert passes[0] == passes[1] == passes[2]
    assert len(passes[0]) == 9


def test_without_shuffling_sets_follow_one_another_once() -> None:
    draws = Mixture(PARTS, shuffle=False).draws(0, 1000)
    assert [(d.part, d.index) for d in draws] == [(p, i) for p, n in ((0, 70), (1, 31), (3, 1)) for i in range(n)]


def test_another_seed_or_name_gives_another_order() -> None:
    def order(name: str, seed: int) -> list[int]:
        return [d.index for d in Mixture([Part(name, 50, 1.0)], seed=seed).draws(0, 50)]

    assert order("a", 0) != order("a", 1)
    assert order("a", 0) != order("b", 0)
    assert order("a", 0) == order("a", 0)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_temperature_is_the_root_of_the_shares(temperature: float) -> None:
    found = weights_of([1000, 10], [None, None], temperature)
    assert found[0] / found[1] == pytest.approx(100 ** (1 / temperature))
