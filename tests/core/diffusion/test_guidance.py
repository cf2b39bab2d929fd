"""Guidance over one and two conditions, against the formulas written out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.guidance import Shown, drop_rows, guided
from anyloom.diffusion.sampling import Trajectory
from anyloom.diffusion.schedule import Schedule, build_scheduler

X, STEPS = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([7, 7])


def shown_with(own: float, reference: float) -> Shown:
    rows = torch.tensor([[1.0], [2.0]])
    return Shown((own * rows,), reference * rows.view(2, 1, 1).expand(2, 3, 4))


class Network:
    """Not linear in its condition, and counts the rows it is given."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(self, noisy: Tensor, steps: Tensor, shown: Shown) -> Tensor:
        assert len(noisy) == len(steps) == len(shown.features[0]) == len(shown.reference)
        self.rows.append(len(noisy))
        return (noisy * shown.features[0][:, :, None] + shown.reference.square() + steps.view(-1, 1, 1) / 10).sin()


NEITHER, REFERENCE, BOTH = shown_with(0.0, 0.0), shown_with(0.0, 1.0), shown_with(1.0, 1.0)


def test_one_scale_is_classifier_free_guidance() -> None:
    network = Network()
    without, given = (network(X, STEPS, c) for c in (NEITHER, BOTH))
    for scale in (0.0, 0.5, 3.0):
        expected = (1 - scale) * without + scale * given
        torch.testing.assert_close(guided(network, [NEITHER, BOTH], [scale])(X, STEPS), expected)


@pytest.mark.parametrize("scales", [(1.5, 7.5), (1.0, 4.0), (4.0, 1.0), (2.0, 2.0), (1.0, 1.0), (0.0, 3.0), (0.0, 0.0)])
def test_two_scales_follow_equation_3_of_instructpix2pix(scales: tuple[float, float]) -> None:
    network = Network()
    reference_scale, feature_scale = scales
    neither, reference, both = (network(X, STEPS, c) for c in (NEITHER, REFERENCE, BOTH))
    expected = neither + reference_scale * (reference - neither) + feature_scale * (both - reference)
    torch.testing.assert_close(guided(network, [NEITHER, REFERENCE, BOTH], scales)(X, STEPS), expected)


@pytest.mark.parametrize(("scales", "branches"), [((1.0, 1.0), 1), ((1.0, 3.0), 2), ((3.0, 3.0), 2), ((2.0, 3.0), 3)])
def test_branches_that_cancel_out_are_not_run(scales: Sequence[float], branches: int) -> None:
    network = Network()
    guided(network, [NEITHER, REFERENCE, BOTH], scales)(X, STEPS)
    assert network.rows == [2 * branches]


def test_without_guidance_the_network_gets_the_condition_as_it_is() -> None:
    seen: list[Shown] = []

    def denoise(noisy: Tensor, steps: Tensor, shown: Shown) -> Tensor:
        seen.append(shown)
        return 0.1 * noisy

    scheduler = build_scheduler(Schedule(), "epsilon")
    Trajectory(scheduler, noise=X, denoising_steps=3).run(guided(denoise, [NEITHER, BOTH], [1.0]))
    assert len(seen) == 3
    assert all(c is BOTH for c in seen)


def test_share_of_dropped_rows_and_gradient_to_the_null() -> None:
    condition, null = torch.ones(4000, 2, 3), torch.zeros(2, 3, requires_grad=True)
    level = torch.arange(4000.0)
    parts, nulls = (condition, level), (null, torch.tensor(-1.0))
    out, levels = drop_rows(parts, nulls, 0.25, RowDraws(4000, range(4000)))
    dropped = (out == 0).flatten(1)
    assert bool((dropped.all(1) == dropped.any(1)).all())
    assert abs(float(dropped.all(1).float().mean()) - 0.25) < 0.03
    out.sum().backward()
    assert null.grad is not None
    assert null.grad.eq(dropped.all(1).sum()).all()
    assert torch.equal(levels, torch.where(dropped.all(1), -1.0, level))
    assert drop_rows(parts, nulls, 0.0, RowDraws(4000)) == parts
