from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from anyloom.diffusion.objective import add_noise, coefficients, target
from anyloom.diffusion.sampling import Trajectory
from anyloom.diffusion.schedule import Schedule, build_scheduler
from anyloom.errors import ConfigError


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_ddim_with_the_true_noise_recovers_the_sample(prediction: Any, spacing: Any) -> None:
    scheduler = build_scheduler(Schedule(timestep_spacing=spacing, set_alpha_to_one=True), prediction)
    clean, noise = torch.randn(2, 2, 4, 5, 5)

    def oracle(noisy: Tensor, steps: Tensor) -> Tensor:
        return target(clean, noise, *coefficients(scheduler.alphas_cumprod, steps, 4), prediction)

    probe = build_scheduler(Schedule(timestep_spacing=spacing), prediction)
    probe.set_timesteps(10)
    first = probe.timesteps[:1].expand(2)
    start = add_noise(clean, noise, *coefficients(scheduler.alphas_cumprod, first, 4))
    found = Trajectory(scheduler, noise=start, denoising_steps=10).run(oracle)
    torch.testing.assert_close(found, clean, atol=1e-3, rtol=0)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_scheduler_is_left_as_it_was() -> None:
    scheduler = build_scheduler(Schedule(scheduler="DPMSolverMultistepScheduler"), "epsilon")
    before = scheduler.timesteps.clone()
    Trajectory(scheduler, noise=torch.randn(2, 3, 3), denoising_steps=3).run(lambda noisy, steps: 0.1 * noisy)
    assert torch.equal(scheduler.timesteps, before)


def test_an_unknown_scheduler_is_named() -> None:
    with pytest.raises(ConfigError, match="NoScheduler"):
        build_scheduler(Schedule(scheduler="NoScheduler"), "epsilon")


def test_a_scheduler_keeps_its_numbers_under_a_meta_context() -> None:
    with torch.device("meta"):
        scheduler = build_scheduler(Schedule(), "v_prediction")
    assert scheduler.alphas_cumprod.device.type == "cpu"
