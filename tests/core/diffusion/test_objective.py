from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from anyloom.diffusion.objective import (
    Noised,
    add_noise,
    coefficients,
    loss_weight,
    target,
)

REFERENCE = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)


def clean_from(output: Tensor, noisy: Tensor, alpha: Tensor, sigma: Tensor, prediction: str) -> Tensor:
    return (noisy - sigma * output) / alpha if prediction == "epsilon" else alpha * noisy - sigma * output


def noise_from(output: Tensor, noisy: Tensor, alpha: Tensor, sigma: Tensor, prediction: str) -> Tensor:
    return output if prediction == "epsilon" else alpha * output + sigma * noisy


@pytest.fixture
def case() -> tuple[torch.Tensor, ...]:
    clean, noise = torch.randn(2, 4, 3, 3, 3)
    steps = torch.tensor([0, 10, 500, 999])
    return clean, noise, steps, *coefficients(REFERENCE.alphas_cumprod, steps, 4)


def test_noising_and_velocity_equal_diffusers(case: tuple[torch.Tensor, ...]) -> None:
    clean, noise, steps, alpha, sigma = case
    torch.testing.assert_close(add_noise(clean, noise, alpha, sigma), REFERENCE.add_noise(clean, noise, steps))
    torch.testing.assert_close(
        target(clean, noise, alpha, sigma, "v_prediction"), REFERENCE.get_velocity(clean, noise, steps)
    )
    assert target(clean, noise, alpha, sigma, "epsilon") is noise


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
def test_a_perfect_output_gives_back_sample_and_noise(case: tuple[torch.Tensor, ...], prediction: Any) -> None:
    clean, noise, _, alpha, sigma = case
    noisy = add_noise(clean, noise, alpha, sigma)
    output = target(clean, noise, alpha, sigma, prediction)
    torch.testing.assert_close(clean_from(output, noisy, alpha, sigma, prediction), clean, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(noise_from(output, noisy, alpha, sigma, prediction), noise, atol=1e-5, rtol=1e-4)


def test_weight_noise_turns_velocity_errors_into_noise_errors(case: tuple[torch.Tensor, ...]) -> None:
    clean, noise, _, alpha, sigma = case
    noisy = add_noise(clean, noise, alpha, sigma)
    velocity = target(clean, noise, alpha, sigma, "v_prediction")
    wrong = velocity + torch.randn_like(velocity)
    of_velocity = (wrong - velocity).square().flatten(1).mean(1)
    of_noise = (noise_from(wrong, noisy, alpha, sigma, "v_prediction") - noise).square().flatten(1).mean(1)
    weight = loss_weight(alpha.flatten() ** 2, "v_prediction", "noise")
    torch.testing.assert_close(of_velocity * weight, of_noise, atol=1e-5, rtol=1e-4)


def test_min_snr_weights_are_those_of_the_paper() -> None:
    abar = torch.tensor([0.5, 0.9, 0.1])
    snr = abar / (1 - abar)
    capped = torch.tensor([1.0, 5.0, 1 / 9])
    torch.testing.assert_close(loss_weight(abar, "epsilon", "min_snr"), capped / snr)
    torch.testing.assert_close(loss_weight(abar, "v_prediction", "min_snr"), capped / (snr + 1))


def test_error_of_a_zero_output_is_the_mean_square_of_the_target() -> None:
    clean = torch.randn(2000, 2)
    noised = Noised.draw(clean, REFERENCE.alphas_cumprod, torch.Generator().manual_seed(0))
    errors = noised.errors(torch.zeros_like(clean), prediction="epsilon")
    assert errors.shape == (2000,)
    assert float(errors.mean()) == pytest.approx(1.0, abs=0.1)


def test_a_generator_makes_noise_and_steps_repeatable() -> None:
    def draw() -> Noised:
        return Noised.draw(torch.ones(3, 2), REFERENCE.alphas_cumprod, torch.Generator().manual_seed(1))

    assert torch.equal(draw().noisy, draw().noisy)
    assert torch.equal(draw().steps, draw().steps)


def test_noise_at_given_steps_is_that_of_the_reference() -> None:
    steps = torch.tensor([0, 400, 999])
    noised = Noised.draw(torch.randn(3, 2), REFERENCE.alphas_cumprod, steps=steps)
    expected = REFERENCE.add_noise(noised.clean, noised.noise, steps)
    torch.testing.assert_close(noised.noisy, expected)
