"""Closed-form starts: the Gaussian denoiser around a drawing, and the linear autoencoder."""

from __future__ import annotations

import pytest
import torch

from anyloom.diffusion.objective import add_noise, coefficients, target
from anyloom_mini.linear_autoencoder import LinearAutoencoder, LinearSizes
from anyloom_mini.sketch import Sketch

SHAPE = (2, 3, 3)
ABAR = torch.linspace(0.99, 0.01, 20)


def linear_data(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    matrix = torch.randn(4, 18)
    features = torch.randn(count, 1, 4)
    latents = (features[:, 0] @ matrix + 0.5 * torch.randn(count, 18) + 2.0).unflatten(1, SHAPE)
    return features, latents, matrix


def test_ridge_finds_the_map_and_what_it_misses() -> None:
    features, latents, matrix = linear_data(4000)
    sketch = Sketch(4, SHAPE)
    sketch.fit(features, latents, torch.zeros(4))
    torch.testing.assert_close(sketch.weight, matrix, atol=0.05, rtol=0)
    torch.testing.assert_close(sketch.bias, torch.full((18,), 2.0), atol=0.05, rtol=0)
    torch.testing.assert_close(sketch.variance, torch.full((18,), 0.25), atol=0.03, rtol=0)
    drawing, variance = sketch.split(sketch.draw(features[:2]))
    assert drawing.shape == variance.shape == (2, *SHAPE)
    torch.testing.assert_close(drawing.flatten(1), features[:2, 0] @ matrix + 2.0, atol=0.2, rtol=0)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_the_denoiser_is_the_posterior_mean_of_gaussian_data(kind: str) -> None:
    """Its error in x_0 is the posterior variance s sigma^2 / (alpha^2 s + sigma^2), which nothing can beat."""
    features, latents, _ = linear_data(4000)
    sketch = Sketch(4, SHAPE)
    sketch.fit(features, latents, torch.zeros(4))
    drawing, variance = sketch.split(sketch.draw(features))
    for step in (2, 10, 18):
        steps = torch.full((len(latents),), step)
        alpha, sigma = coefficients(ABAR, steps, 4)
        noise = torch.randn_like(latents)
        noisy = add_noise(latents, noise, alpha, sigma)
        predicted = sketch.prediction(noisy, drawing, variance, steps, ABAR, kind)  # type: ignore[arg-type]
        error = (predicted - target(latents, noise, alpha, sigma, kind)).square().mean()  # type: ignore[arg-type]
        a2, s2 = float(ABAR[step]), 1 - float(ABAR[step])
        posterior = 0.25 * s2 / (a2 * 0.25 + s2)
        factor = a2 / s2 if kind == "epsilon" else 1 / s2
        assert float(error) == pytest.approx(posterior * factor, rel=0.05)


def test_the_null_is_the_mean_and_variance_of_all_latents() -> None:
    features, latents, _ = linear_data(500)
    sketch = Sketch(4, SHAPE)
    sketch.fit(features, latents, torch.zeros(4))
    mean, variance = sketch.split(sketch.null[None])
    torch.testing.assert_close(mean[0], latents.mean(0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(variance[0], latents.var(0), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("patch", "channels"), [(4, [8]), (2, [8, 8])])
def test_the_linear_autoencoder_loses_what_the_left_out_components_hold(patch: int, channels: list[int]) -> None:
    sizes = LinearSizes(
        block_out_channels=tuple(channels),
        layers_per_block=1,
        latent_channels=5,
        norm_num_groups=4,
        patch=patch,
    )
    x = torch.nn.functional.interpolate(torch.randn(64, 3, 4, 4), (16, 16), mode="bilinear")
    autoencoder = LinearAutoencoder(sizes, 3, 16).eval()
    autoencoder.fit_linear(x)
    autoencoder.fit_latents(x)
    latents = autoencoder.encode(x)
    assert latents.shape == (64, 5, 4, 4)
    squares = torch.nn.functional.pixel_unshuffle(x, 4).movedim(1, -1).flatten(0, -2)
    left_out = torch.linalg.eigvalsh(torch.cov(squares.T))[:-5].sum() / squares.shape[1]
    error = (autoencoder.decode(latents) - x).square().mean().detach()
    assert float(error) == pytest.approx(float(left_out), rel=0.02)
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(5), atol=1e-4, rtol=0)
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(5), atol=1e-3, rtol=0)
