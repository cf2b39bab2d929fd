"""What a denoising network predicts, and how its error is weighted.

With ``alpha = sqrt(abar_t)`` and ``sigma = sqrt(1 - abar_t)``, a noisy sample is ``x_t = alpha x + sigma e``; the
network predicts the noise ``e`` (DDPM, arXiv 2006.11239), the velocity ``v = alpha e - sigma x`` (Salimans and
Ho, arXiv 2202.00512) or the sample ``x``. All three are known once one of them and ``x_t`` are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from anyloom.diffusion.draws import RowDraws

__all__ = [
    "Noised",
    "Prediction",
    "Weighting",
    "add_noise",
    "coefficients",
    "loss_weight",
    "target",
]

Prediction = Literal["v_prediction", "epsilon", "sample"]
Weighting = Literal["none", "noise", "min_snr"]


def coefficients(alphas_cumprod: Tensor, timesteps: Tensor, ndim: int) -> tuple[Tensor, Tensor]:
    """Return ``alpha`` and ``sigma`` of each row, shaped ``(B, 1, ...)`` with ``ndim`` dimensions, float32.

    >>> alpha, sigma = coefficients(torch.tensor([0.64]), torch.tensor([0, 0]), 3)
    >>> alpha.shape, round(float(alpha[0]), 2), round(float(sigma[0]), 2)
    (torch.Size([2, 1, 1]), 0.8, 0.6)
    """
    abar = alphas_cumprod.to(timesteps.device, torch.float32)[timesteps].view(-1, *[1] * (ndim - 1))
    return abar.sqrt(), (1 - abar).sqrt()


def add_noise(clean: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """Return ``x_t = alpha x + sigma e``.

    >>> add_noise(torch.ones(2), torch.zeros(2), torch.tensor(0.6), torch.tensor(0.8))
    tensor([0.6000, 0.6000])
    """
    return alpha * clean + sigma * noise


def target(clean: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor, prediction: Prediction) -> Tensor:
    """Return what the network should predict: ``e``, ``v = alpha e - sigma x`` or ``x``.

    >>> one, half = torch.ones(1), torch.tensor([0.5])
    >>> [target(half, one, half, half, kind).item() for kind in ("epsilon", "v_prediction", "sample")]
    [1.0, 0.25, 0.5]
    """
    if prediction == "sample":
        return clean
    return noise if prediction == "epsilon" else alpha * noise - sigma * clean


def loss_weight(abar: Tensor, prediction: Prediction, weighting: Weighting, gamma: float = 5.0) -> Tensor:
    """Weight of a squared error at noise level ``abar``; same shape as ``abar``.

    Args:
        abar: Cumulative product of the alphas, in (0, 1).
        prediction: What the error is an error of.
        weighting: ``none`` takes the error as it is. ``noise`` turns it into the error of the noise, which the
            paper's ``L_DM`` is written in: with ``e - e' = alpha (v - v') = -(alpha / sigma) (x - x')``. ``min_snr``
            is min-SNR-gamma (Hang et al., arXiv 2303.09556).
        gamma: Cap of the signal-to-noise ratio for ``min_snr``.

    >>> loss_weight(torch.tensor([0.8]), "v_prediction", "noise").item() == torch.tensor(0.8).item()
    True
    """
    if weighting == "none":
        return torch.ones_like(abar)
    snr = abar / (1 - abar).clamp(min=1e-8)
    # squared errors of e, v and x for one and the same guess stand as 1 : 1 / abar : 1 / snr
    as_noise = {"epsilon": torch.ones_like(abar), "v_prediction": abar, "sample": snr}[prediction]
    return as_noise if weighting == "noise" else as_noise * snr.clamp(max=gamma) / snr.clamp(min=1e-8)


@dataclass(frozen=True)
class Noised:
    """Samples with noise of known times, on which a network's prediction is asked for.

    Args:
        clean: Samples ``(B, ...)``, float32.
        noise: ``(B, ...)``.
        times: Diffusion times ``(B,)``.
        alpha: Share of the sample, ``(B, 1, ...)``.
        sigma: Share of the noise, ``(B, 1, ...)``.

    >>> alphas = torch.tensor([0.99, 0.5, 0.01])
    >>> noised = Noised.draw(torch.zeros(2, 3), alphas, times=torch.tensor([0, 2]))
    >>> noised.noisy.shape
    torch.Size([2, 3])
    >>> noised.errors(noised.noise, prediction="epsilon").tolist()
    [0.0, 0.0]
    """

    clean: Tensor
    noise: Tensor
    times: Tensor
    alpha: Tensor
    sigma: Tensor

    @classmethod
    def draw(
        cls, clean: Tensor, alphas_cumprod: Tensor, draws: RowDraws | None = None, times: Tensor | None = None
    ) -> Noised:
        """Noise each row.

        Args:
            clean: Samples ``(B, ...)``.
            alphas_cumprod: Schedule ``(T,)``.
            draws: Where times and noise come from; None takes the global state.
            times: ``(B,)``; random by default.
        """
        clean = clean.float()
        draws = draws or RowDraws(len(clean), device=clean.device)
        times = draws.integers(0, len(alphas_cumprod)) if times is None else times
        noise = draws.normal(clean.shape[1:])
        return cls(clean, noise, times, *coefficients(alphas_cumprod, times, clean.ndim))

    @property
    def noisy(self) -> Tensor:
        """What the network sees, ``(B, ...)``."""
        return add_noise(self.clean, self.noise, self.alpha, self.sigma)

    def errors(
        self, output: Tensor, *, prediction: Prediction, weighting: Weighting = "none", gamma: float = 5.0
    ) -> Tensor:
        """Weighted squared error ``(B,)`` of a network's output ``(B, ...)``, float32.

        Args:
            output: What the network gave.
            prediction: What it predicts.
            weighting: See :func:`loss_weight`.
            gamma: See :func:`loss_weight`.
        """
        wanted = target(self.clean, self.noise, self.alpha, self.sigma, prediction)
        errors = (output.float() - wanted).square().flatten(1).mean(1)
        return errors * loss_weight(self.alpha.flatten().square(), prediction, weighting, gamma)
