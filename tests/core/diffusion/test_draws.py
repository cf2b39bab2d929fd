"""Random numbers of rows."""

from __future__ import annotations

import pytest
import torch

from anyloom.diffusion.draws import RowDraws
from anyloom.errors import ConfigError


def test_a_row_draws_what_its_seed_says_in_any_batch() -> None:
    both, second = RowDraws(2, [1, 2]), RowDraws(1, [2])
    for draw in (lambda d: d.normal((4,)), lambda d: d.integers(0, 1000), lambda d: d.uniform()):
        pair, one = draw(both), draw(second)
        assert torch.equal(pair[1:], one)
        assert not torch.equal(pair[0], pair[1])


def test_without_seeds_the_global_state_decides() -> None:
    torch.manual_seed(5)
    drawn = RowDraws(3).normal((2,)), RowDraws(3).integers(0, 10), RowDraws(3).uniform()
    torch.manual_seed(5)
    expected = torch.randn(3, 2), torch.randint(10, (3,)), torch.rand(3)
    assert all(torch.equal(a, b) for a, b in zip(drawn, expected))


def test_a_copy_goes_on_where_it_was_taken() -> None:
    draws = RowDraws(2, [1, 2])
    draws.uniform()
    copy = draws.copy()
    assert torch.equal(copy.normal((3,)), draws.normal((3,)))


def test_there_must_be_one_seed_per_row() -> None:
    with pytest.raises(ConfigError, match="1 seeds for 2 rows"):
        RowDraws(2, [1])
