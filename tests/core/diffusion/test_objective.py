from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.objective import (
    Noised,
    add_noise,
    coefficients,
    loss_weight,
    target,
)

REFERENCE = DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)


def clean_from(output: Tensor, noisy: Tensor, alpha: Tensor, sigma: Tensor, prediction: str) -> Tensor:
    if prediction == "sample":
        return output
    return (noisy - sigma * output) / alpha if prediction == "epsilon" else alpha * noisy - sigma * output


def noise_from(output: Tensor, noisy: Tensor, alpha: Tensor, sigma: Tensor, prediction: str) -> Tensor:
    if prediction == "sample":
        return (noisy - alpha * output) / sigma
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


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon", "sample"])
def test_a_perfect_output_gives_back_sample_and_noise(case: tuple[torch.Tensor, ...], prediction: Any) -> None:
    clean, noise, _, alpha, sigma = case
    noisy = add_noise(clean, noise, alpha, sigma)
    output = target(clean, noise, alpha, sigma, prediction)
    torch.testing.assert_close(clean_from(output, noisy, alpha, sigma, prediction), clean, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(noise_from(output, noisy, alpha, sigma, prediction), noise, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon", "sample"])
def test_weight_noise_turns_any_error_into_the_noise_error(case: tuple[torch.Tensor, ...], prediction: Any) -> None:
    clean, noise, times, alpha, sigma = case
    noised = Noised(clean.double(), noise.double(), times, alpha.double(), sigma.double())
    right = target(noised.clean, noised.noise, noised.alpha, noised.sigma, prediction)
    wrong = right + 0.1 * torch.randn_like(right)
    own = (wrong - right).square().flatten(1).mean(1)
    of_noise = noise_from(wrong, noised.noisy, noised.alpha, noised.sigma, prediction) - noised.noise
    weight = loss_weight(noised.alpha.flatten() ** 2, prediction, "noise")
    torch.testing.assert_close(own * weight, of_noise.square().flatten(1).mean(1), atol=1e-5, rtol=1e-3)


def test_min_snr_weights_are_those_of_the_paper() -> None:
    """min(SNR, 5) for a prediction of x; divided by SNR for one of the noise, by SNR + 1 for one of v."""
    abar = torch.tensor([0.5, 0.9, 0.1])
    snr = abar / (1 - abar)
    capped = torch.tensor([1.0, 5.0, 1 / 9])
    torch.testing.assert_close(loss_weight(abar, "sample", "min_snr"), capped)
    torch.testing.assert_close(loss_weight(abar, "epsilon", "min_snr"), capped / snr)
    torch.testing.assert_close(loss_weight(abar, "v_prediction", "min_snr"), capped / (snr + 1))


def test_error_of_a_zero_output_is_the_mean_square_of_the_target() -> None:
    clean = torch.randn(2000, 2)
    noised = Noised.draw(clean, REFERENCE.alphas_cumprod, RowDraws(2000, range(2000)))
    errors = noised.errors(torch.zeros_like(clean), prediction="epsilon")
    assert errors.shape == (2000,)
    assert float(errors.mean()) == pytest.approx(1.0, abs=0.1)


def test_seeds_make_noise_and_times_repeatable_row_by_row() -> None:
    def draw(*seeds: int) -> Noised:
        return Noised.draw(torch.ones(len(seeds), 2), REFERENCE.alphas_cumprod, RowDraws(len(seeds), seeds))

    both, second = draw(1, 2), draw(2)
    assert torch.equal(both.noisy[1:], second.noisy)
    assert torch.equal(both.times[1:], second.times)
    assert not torch.equal(both.noise[0], both.noise[1])


def test_noise_at_given_steps_is_that_of_the_reference() -> None:
    steps = torch.tensor([0, 400, 999])
    noised = Noised.draw(torch.randn(3, 2), REFERENCE.alphas_cumprod, times=steps)
    expected = REFERENCE.add_noise(noised.clean, noised.noise, steps)
    torch.testing.assert_close(noised.noisy, expected)
