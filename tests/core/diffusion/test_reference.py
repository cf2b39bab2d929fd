"""A reference really helps where the features say nothing: held-out error against its closed form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from anyloom.building import build_named
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.widening import widen_input
from parts import image_decoder_options


def decoder(reference: bool) -> LatentDiffusionDecoder:
    torch.manual_seed(0)
    options = image_decoder_options(reference=reference, freeze=False, reference_dropout=0.0, picture_size=8)
    built = build_named("decoder", options, where="decoder")
    assert isinstance(built, LatentDiffusionDecoder)
    return built.train()


def pairs(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features that say nothing, targets, and references: a target is its reference and a fixed pattern."""
    generator = torch.Generator().manual_seed(seed)
    reference = torch.randn(count, 4, 4, 4, generator=generator)
    pattern = torch.randn(4, 4, 4, generator=torch.Generator().manual_seed(77))
    return torch.zeros(count, 1, 8), reference + pattern, reference


def held_out_loss(model: LatentDiffusionDecoder, steps: int) -> float:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-2)
    for step in range(steps):
        features, target, reference = pairs(32, step)
        optimizer.zero_grad()
        model.latent_loss(features, target, reference=reference if model.uses_reference else None).mean().backward()
        optimizer.step()
    features, target, reference = pairs(256, 10_000)
    with torch.no_grad():
        given = reference if model.uses_reference else None
        return float(model.eval().latent_loss(features, target, given, range(256)).mean())


def test_a_reference_takes_the_error_below_what_is_possible_without_it() -> None:
    """With unit-variance targets of known mean, velocity and noisy latents are uncorrelated: the best loss is 1."""
    assert held_out_loss(decoder(reference=False), 40) > 0.95
    assert held_out_loss(decoder(reference=True), 40) < 0.7


@pytest.mark.parametrize("channels", [3, 5, 9])
def test_a_widened_network_computes_the_same_whatever_the_new_channels_hold(channels: int) -> None:
    unet = decoder(reference=False).eval().unet
    inputs, steps, context = torch.randn(2, 4, 4, 4), torch.tensor([3, 900]), torch.zeros(2, 1, 8)
    labels = torch.randn(2, 16)
    before = unet(inputs, steps, context, class_labels=labels).sample
    widen_input(unet, channels)
    assert unet.config.in_channels == max(4, channels)
    more = torch.randn(2, max(0, channels - 4), 4, 4)
    after = unet(torch.cat([inputs, more], 1), steps, context, class_labels=labels).sample
    torch.testing.assert_close(after, before, atol=1e-6, rtol=1e-5)
