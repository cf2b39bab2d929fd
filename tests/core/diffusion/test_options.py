"""Options of latent diffusion decoders that change a number: against closed forms and diffusers."""

from __future__ import annotations

import pytest
import torch
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr
from torch.distributions import Normal, kl_divergence

from anyloom.building import build_named
from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.objective import Noised
from anyloom.diffusion.schedule import Schedule, build_scheduler
from parts import TINY_IMAGE, image_decoder_options


def decoder(**options: object) -> LatentDiffusionDecoder:
    torch.manual_seed(0)
    built = build_named("decoder", image_decoder_options(**options), where="decoder")
    assert isinstance(built, LatentDiffusionDecoder)
    return built


def test_the_kl_weight_weighs_the_divergence_from_a_standard_normal() -> None:
    pictures = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    heavy = decoder(autoencoder={**TINY_IMAGE["autoencoder"], "kl_weight": 0.5})
    mean, logvar = heavy.autoencoder.moments(pictures)
    expected = kl_divergence(Normal(mean, (0.5 * logvar).exp()), Normal(0.0, 1.0)).mean()
    terms = heavy.autoencoder_loss(pictures)
    torch.testing.assert_close(terms["kl"], 0.5 * expected)
    torch.testing.assert_close(terms["loss"], sum(v for k, v in terms.items() if k != "loss"))


def test_a_rescaled_schedule_is_that_of_diffusers() -> None:
    rescaled = build_scheduler(Schedule(rescale_betas_zero_snr=True), "v_prediction")
    plain = build_scheduler(Schedule(), "v_prediction")
    expected = torch.cumprod(1 - rescale_zero_terminal_snr(plain.betas), 0)
    torch.testing.assert_close(rescaled.alphas_cumprod[:-1], expected[:-1])
    assert float(rescaled.alphas_cumprod[-1]) < 1e-6 < float(plain.alphas_cumprod[-1])


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_min_snr_gamma_is_the_cap(gamma: float) -> None:
    """The weight of an error of v is min(SNR, gamma) / (SNR + 1) (arXiv 2303.09556)."""
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    features = torch.zeros(3, 1, 8)
    losses = []
    for weighting in ("none", "min_snr"):
        model = decoder(weighting=weighting, min_snr_gamma=gamma).eval()
        abar = model.scheduler.alphas_cumprod
        noised = Noised.draw(latents, abar, RowDraws(3, [1, 2, 3], latents.device), torch.tensor([10, 300, 900]))
        losses.append(model.errors(features, noised, RowDraws(3, [1, 2, 3], latents.device)).detach())
    chosen = abar[[10, 300, 900]]
    snr = chosen / (1 - chosen)
    assert bool((snr > gamma).any())
    torch.testing.assert_close(losses[1] / losses[0], snr.clamp(max=gamma) / (snr + 1), rtol=1e-4, atol=1e-6)
