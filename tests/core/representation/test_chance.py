"""What rows draw in training is their own, and has the distribution it should have."""

from __future__ import annotations

import torch

from anyloom.interfaces.chance import RowDropout, RowNumbers, row_chance, row_normal


def test_a_rows_numbers_do_not_depend_on_the_others() -> None:
    for draw in (row_normal, RowDropout(0.5)):
        with row_chance(torch.tensor([3, 7, 9])):
            together = draw(torch.ones(3, 50, 2))
        with row_chance(torch.tensor([9])):
            alone = draw(torch.ones(1, 50, 2))
        assert torch.equal(alone[0], together[2])
        assert not torch.equal(together[0], together[1])


def test_the_next_draw_and_another_purpose_are_other_numbers() -> None:
    like = torch.zeros(1, 100)
    with row_chance(torch.tensor([3]), 1):
        first, second = row_normal(like), row_normal(like)
    with row_chance(torch.tensor([3]), 2):
        third = row_normal(like)
    for one, other in ((first, second), (first, third)):
        assert abs(torch.corrcoef(torch.cat([one, other]))[0, 1]) < 0.4  # four standard deviations of 100 pairs


def test_rows_are_standard_normal_and_dropped_as_often_as_asked() -> None:
    """Over 400 rows of 100 numbers, to five standard errors; what is kept makes up for what is dropped."""
    with row_chance(torch.arange(400)):
        drawn = row_normal(torch.zeros(400, 100))
        kept = RowDropout(0.2)(torch.ones(400, 100))
    assert abs(drawn.mean()) < 5 / 200
    assert abs(drawn.var() - 1) < 5 * 2**0.5 / 200
    assert set(kept.unique().tolist()) == {0.0, 1.25}
    assert abs((kept == 0).float().mean() - 0.2) < 5 * 0.4 / 200


def test_outside_there_is_torchs_state_and_in_use_nothing_is_dropped() -> None:
    torch.manual_seed(0)
    expected = torch.randn(2, 3)
    torch.manual_seed(0)
    assert torch.equal(row_normal(torch.zeros(2, 3)), expected)
    with row_chance(torch.tensor([1])):  # of another number of rows
        torch.manual_seed(0)
        assert torch.equal(row_normal(torch.zeros(2, 3)), expected)
    with row_chance(torch.tensor([1, 2])):
        assert torch.equal(RowDropout(0.5).eval()(torch.ones(2, 3)), torch.ones(2, 3))


def test_bits_are_those_of_splitmix64() -> None:
    """Row seed 1234567 before it is scrambled: the first three outputs of the published generator, in plain numbers."""
    state, found = 1234567, []
    for _ in range(3):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        found.append((z ^ (z >> 31)) >> 40)
    assert found[0] == 6457827717110365317 >> 40  # as the generator's authors print it for this seed
    numbers = RowNumbers(torch.tensor([0]))
    numbers.seeds = torch.tensor([1234567])
    assert numbers._bits(3)[0].tolist() == found


def test_whole_numbers_cover_their_range_evenly() -> None:
    drawn = RowNumbers(torch.arange(4000)).integers(0, 10)
    counts = torch.bincount(drawn, minlength=10).float()
    assert len(counts) == 10
    assert ((counts - 400).square() / 400).sum() < 34  # chi square of 9 degrees of freedom: one in 10,000
