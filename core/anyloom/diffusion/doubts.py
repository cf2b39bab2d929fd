"""What is wrong between a latent diffusion decoder and the media and features that it gets, seen without training it.

Two mistakes that end in noise, whatever is learnt around them: latents of another scale than the denoiser was trained
on (a forgotten or doubled VAE factor), and a network that predicts something else than is declared.

The second is seen at the noise level where ``x_t`` is as much medium as noise: the output is taken for a guess of the
noise, of the velocity and of the medium, each gives an estimate of the medium, and that of the declared kind must not
be clearly worse than another. For a network that has learnt anything it is the best one, since least squares made it
so; of one that has not, whose best estimate is hardly better than ``x_t`` scaled down, nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from anyloom.diffusion.denoiser import ConditionedDenoiser
from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.objective import Noised, Prediction
from anyloom.interfaces.decoder import Doubt

__all__ = ["estimate_errors", "latent_doubts"]

_LARGE: Final = 2.0
_SMALL: Final = 1 / 3
"""Blank media have small latents, so a few media may be further below 1 than above it."""

_CLEARLY: Final = 1.3
_LEARNT: Final = 0.8


@torch.no_grad()
def latent_doubts(
    decoder: ConditionedDenoiser, features: Tensor, latents: Tensor, reference: Tensor
) -> Iterator[Doubt]:
    """What is wrong; nothing, usually.

    Args:
        decoder: The decoder.
        features: True features ``(B, L, D)`` of B media.
        latents: Of the media, ``(B, Z, ...)``.
        reference: Latents of references, in the same form.
    """
    rms = float(latents.float().square().mean().sqrt())
    if not _SMALL < rms < _LARGE:
        what = f"latents have an RMS of {rms:.3g} where the denoiser takes 1"
        fix = "take the VAE's own scaling_factor, once; or fit the latents' statistics again"
        yield Doubt("latent-scale", "autoencoder.scaling_factor", what, fix)
        return
    errors = estimate_errors(decoder, features, latents, reference)
    declared, nearest = decoder.config.prediction, min(errors, key=lambda kind: errors[kind])
    if errors[nearest] < _LEARNT and errors[declared] > _CLEARLY * errors[nearest]:
        what = (
            f"taken for {declared}, as declared, the network's output leaves {errors[declared]:.2f} of the error that "
            f"x_t alone leaves; taken for {nearest}, {errors[nearest]:.2f}"
        )
        yield Doubt("prediction", "prediction", what, f"set prediction: {nearest}, or load the weights that were meant")


@torch.no_grad()
def estimate_errors(
    decoder: ConditionedDenoiser, features: Tensor, latents: Tensor, reference: Tensor
) -> dict[Prediction, float]:
    """Squared error of the medium as the output gives it, taken for noise, velocity and medium.

    Args:
        decoder: The decoder.
        features: ``(B, L, D)``.
        latents: Of the media, ``(B, Z, ...)``.
        reference: Latents of references, in the same form.

    Returns:
        By what the output is taken for; 1 is the error of the best multiple of ``x_t``.
    """
    draws = RowDraws(len(latents), range(len(latents)), latents.device)
    alphas = decoder.scheduler.alphas_cumprod
    times = torch.full((len(latents),), int((alphas - 0.5).abs().argmin()), device=latents.device)
    noised = Noised.draw(latents, alphas, draws, times)
    shown = decoder.shown(decoder.checked(features), reference, draws)
    noisy, output = noised.noisy, decoder.predict(noised.noisy, noised.times, shown).float()
    estimates: dict[Prediction, Tensor] = {
        "v_prediction": noised.alpha * noisy - noised.sigma * output,
        "epsilon": (noisy - noised.sigma * output) / noised.alpha,
        "sample": output,
    }
    scaled = noisy * (noised.clean * noisy).mean() / noisy.square().mean()
    trivial = float((scaled - noised.clean).square().mean())
    return {k: float((x - noised.clean).square().mean()) / max(trivial, 1e-12) for k, x in estimates.items()}
