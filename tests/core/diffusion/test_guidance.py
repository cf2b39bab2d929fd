"""Guidance over one and two conditions, against the formulas written out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from anyloom.diffusion.guidance import Condition, guided
from anyloom.diffusion.sampling import Trajectory
from anyloom.diffusion.schedule import Schedule, build_scheduler

X, STEPS = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([7, 7])


def condition(own: float, source: float) -> Condition:
    rows = torch.tensor([[1.0], [2.0]])
    return Condition(own * rows, torch.zeros(2, 0), source * rows.view(2, 1, 1).expand(2, 3, 4))


class Network:
    """Not linear in its condition, and counts the rows it is given."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(self, noisy: Tensor, steps: Tensor, shown: Condition) -> Tensor:
        assert len(noisy) == len(steps) == len(shown.own) == len(shown.source)
        self.rows.append(len(noisy))
        return (noisy * shown.own[:, :, None] + shown.source.square() + steps.view(-1, 1, 1) / 10).sin()


NEITHER, SOURCE, BOTH = condition(0.0, 0.0), condition(0.0, 1.0), condition(1.0, 1.0)


def test_one_scale_is_classifier_free_guidance() -> None:
    network = Network()
    without, given = (network(X, STEPS, c) for c in (NEITHER, BOTH))
    for scale in (0.0, 0.5, 3.0):
        expected = (1 - scale) * without + scale * given
        torch.testing.assert_close(guided(network, [NEITHER, BOTH], [scale])(X, STEPS), expected)


@pytest.mark.parametrize("scales", [(1.5, 7.5), (1.0, 4.0), (4.0, 1.0), (2.0, 2.0), (1.0, 1.0), (0.0, 3.0), (0.0, 0.0)])
def test_two_scales_follow_equation_3_of_instructpix2pix(scales: tuple[float, float]) -> None:
    network = Network()
    source_scale, feature_scale = scales
    neither, source, both = (network(X, STEPS, c) for c in (NEITHER, SOURCE, BOTH))
    expected = neither + source_scale * (source - neither) + feature_scale * (both - source)
    torch.testing.assert_close(guided(network, [NEITHER, SOURCE, BOTH], scales)(X, STEPS), expected)


@pytest.mark.parametrize(("scales", "branches"), [((1.0, 1.0), 1), ((1.0, 3.0), 2), ((3.0, 3.0), 2), ((2.0, 3.0), 3)])
def test_branches_that_cancel_out_are_not_run(scales: Sequence[float], branches: int) -> None:
    network = Network()
    guided(network, [NEITHER, SOURCE, BOTH], scales)(X, STEPS)
    assert network.rows == [2 * branches]


def test_without_guidance_the_network_gets_the_condition_as_it_is() -> None:
    seen: list[Condition] = []

    def denoise(noisy: Tensor, steps: Tensor, shown: Condition) -> Tensor:
        seen.append(shown)
        return 0.1 * noisy

    scheduler = build_scheduler(Schedule(), "epsilon")
    Trajectory(scheduler, noise=X, steps=3).run(guided(denoise, [NEITHER, BOTH], [1.0]))
    assert len(seen) == 3
    assert all(c is BOTH for c in seen)
