"""A closed-form start for a small decoder: draw the feature as latents by a linear map, and denoise around the drawing.

Given features ``c`` and latents ``x`` of training media, ridge regression gives a drawing ``m(c)`` and the variance
``s`` of what it misses, number by number. If latents were Gaussian around the drawing, the best clean sample for a
noisy one ``x_t = alpha x + sigma e`` would be

    x_0 = m + alpha s / (alpha^2 s + sigma^2) (x_t - alpha m)

(the posterior mean). The network then only has to learn what is not linear and not Gaussian. With a zero last layer its
training starts from this denoiser instead of from noise, which saves most of the steps at this size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from anyloom.diffusion.objective import Prediction, coefficients, target

__all__ = ["Sketch"]


class Sketch(nn.Module):
    """Drawing of a feature in latent space, with the variance of what it misses.

    Args:
        dim: Numbers in a feature, ``L * D``.
        latent_shape: Shape ``(Z, ...)`` of latents.
    """

    weight: Tensor
    bias: Tensor
    variance: Tensor
    null: Tensor

    def __init__(self, dim: int, latent_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.latent_shape = latent_shape
        numbers = math.prod(latent_shape)
        self.register_buffer("weight", torch.zeros(dim, numbers))
        self.register_buffer("bias", torch.zeros(numbers))
        self.register_buffer("variance", torch.ones(numbers))
        self.register_buffer("null", torch.cat([torch.zeros(numbers), torch.ones(numbers)]))

    @torch.no_grad()
    def fit(self, features: Tensor, latents: Tensor, noise: Tensor) -> None:
        """Fit the map by ridge regression.

        Args:
            features: ``(N, L, D)``.
            latents: ``(N, Z, ...)``.
            noise: Standard deviation ``(L * D,)`` of noise that features will carry in use; it is the ridge.
        """
        x, y = features.flatten(1).double(), latents.flatten(1).double()
        x_mean, y_mean = x.mean(0), y.mean(0)
        x_centred, y_centred = x - x_mean, y - y_mean
        ridge = torch.diag(noise.double().square().clamp_min(1e-4)) * len(x)
        weight = torch.linalg.solve(x_centred.T @ x_centred + ridge, x_centred.T @ y_centred)
        missed = y_centred - x_centred @ weight
        spread = ((noise.double()[:, None] * weight) ** 2).sum(0)
        self.weight.copy_(weight)
        self.bias.copy_(y_mean - x_mean @ weight)
        self.variance.copy_((missed.square().mean(0) + spread).clamp_min(1e-4))
        self.null.copy_(torch.cat([y_mean, y.var(0).clamp_min(1e-4)]))

    def draw(self, features: Tensor) -> Tensor:
        """Drawing and variance of each row, side by side: ``(B, 2 * Z * ...)`` for features ``(B, L, D)``."""
        drawing = features.flatten(1).float() @ self.weight.float() + self.bias.float()
        return torch.cat([drawing, self.variance.float().expand_as(drawing)], 1)

    def split(self, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Drawing and variance as latents ``(B, Z, ...)`` each."""
        drawing, variance = drawn.view(len(drawn), 2, *self.latent_shape).unbind(1)
        return drawing, variance

    @staticmethod
    def prediction(
        noisy: Tensor, drawing: Tensor, variance: Tensor, times: Tensor, alphas_cumprod: Tensor, kind: Prediction
    ) -> Tensor:
        """What the Gaussian denoiser predicts for noisy latents ``(B, Z, ...)``.

        Args:
            noisy: ``(B, Z, ...)``.
            drawing: ``(B, Z, ...)``.
            variance: ``(B, Z, ...)``.
            times: ``(B,)``.
            alphas_cumprod: Schedule ``(T,)``.
            kind: What is predicted.

        >>> abar, x = torch.tensor([0.64]), torch.full((1, 1, 1, 1), 0.5)
        >>> noise = Sketch.prediction(0.8 * x, x, torch.ones_like(x), torch.tensor([0]), abar, "epsilon")
        >>> noise.abs().item() < 1e-6
        True
        """
        alpha, sigma = coefficients(alphas_cumprod, times, noisy.ndim)
        gain = alpha * variance / (alpha.square() * variance + sigma.square())
        clean = drawing + gain * (noisy - alpha * drawing)
        noise = (noisy - alpha * clean) / sigma.clamp_min(1e-3)
        return target(clean, noise, alpha, sigma, kind)
