"""Coupled decoders: nothing changes at the start, both sides learn from each other, and samples come to agree."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from anyloom.building import build
from anyloom.conversation import Media
from anyloom.diffusion.couplers import ConditionCoupler
from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.objective import Noised
from anyloom.errors import ConfigError
from anyloom.interfaces import Condition
from anyloom.testing import CouplerCase, CouplerChecks, DecoderCase

RATE = 16000
SCHEDULE = {"beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "trailing"}
SMALL = {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4}
SIZES = {"width": 16, "heads": 2, "places": 4, "detail": 2}
BRUSH: dict[str, Any] = {
    "space": "s",
    "dim": 4,
    "picture_size": 8,
    "schedule": SCHEDULE,
    "context_tokens": 1,
    "autoencoder": SMALL,
    "unet": {**SMALL, "block_out_channels": [8], "cross_attention_dim": 8, "attention_head_dim": 2},
}
VOICE: dict[str, Any] = {
    "space": "s",
    "dim": 4,
    "tokens": 2,
    "prediction": "v_prediction",
    "schedule": SCHEDULE,
    "mel": {"frames": 8, "num_mels": 8, "fft_size": 256, "hop": 64},
    "autoencoder": {**SMALL, "latent_channels": 4},
    "unet": {**SMALL, "attention_head_dim": 4},
    "lm_tokens": 1,
    "lm_dim": 8,
}


def brush(**more: Any) -> LatentDiffusionDecoder:
    decoder: LatentDiffusionDecoder = build("decoder", "sd-unclip", {**BRUSH, **more})
    return decoder


def voice(**more: Any) -> LatentDiffusionDecoder:
    decoder: LatentDiffusionDecoder = build("decoder", "audioldm2", {**VOICE, **more})
    return decoder


def coupler(*decoders: LatentDiffusionDecoder) -> ConditionCoupler:
    joint: ConditionCoupler = build("coupler", "condition-coupler", SIZES, decoders=decoders or (brush(), voice()))
    return joint


def opened(joint: ConditionCoupler) -> ConditionCoupler:
    """A coupler whose last layers are no longer zero."""
    for listener in (joint.to_first, joint.to_second):
        torch.nn.init.normal_(listener.change[-1].weight, std=0.5)
    return joint


def picture(n: int) -> Media:
    colour = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 1.0]])[n]
    return Media("image", colour[:, None, None].expand(3, 8, 8))


def sound(n: int) -> Media:
    wave = 0.3 * torch.sin(2 * math.pi * (400.0, 3000.0)[n] * torch.arange(512) / RATE)
    return Media("audio", wave[None], meta={"sample_rate": RATE})


def pair_of(**more: Any) -> list[LatentDiffusionDecoder]:
    return [brush(**more), voice(**more)]


def conditions() -> list[Condition]:
    return [Condition(torch.randn(2, n, 4, requires_grad=True)) for n in (1, 2)]


def targets(pair: list[LatentDiffusionDecoder]) -> list[Tensor]:
    return [torch.stack([d.preprocess(make(n)) for n in range(2)]) for d, make in zip(pair, (picture, sound))]


class TestConformance(CouplerChecks):
    @pytest.fixture
    def case(self) -> CouplerCase:
        sampling = {"denoising_steps": 2, "guidance": 2.0}
        decoders = (
            DecoderCase("sd-unclip", options=BRUSH, media=[picture(0), picture(1)], sampling=sampling),
            DecoderCase("audioldm2", options=VOICE, media=[sound(0), sound(1)], sampling=sampling),
        )
        return CouplerCase("condition-coupler", options=SIZES, decoders=decoders)


def test_a_new_coupler_changes_no_loss() -> None:
    pair, seeds = pair_of(), [[1, 2], [3, 4]]
    given, stacks = conditions(), targets(pair)
    together = coupler()(pair, given, stacks, seeds)
    times = None
    for n, decoder in enumerate(pair):
        draws = RowDraws(2, seeds[n])
        noised = Noised.draw(decoder.latents(stacks[n]), decoder.scheduler.alphas_cumprod, draws, times)
        times = noised.times
        torch.testing.assert_close(together[n], decoder.errors(given[n].features, noised, draws), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("scheduler", ["DDIMScheduler", "DDPMScheduler", "DPMSolverMultistepScheduler"])
def test_a_new_coupler_changes_no_sample(scheduler: str) -> None:
    schedule = {**SCHEDULE, "scheduler": scheduler}
    pair = [brush(schedule=schedule, noise={"sampling": 300}), voice(schedule=schedule)]
    given, seeds = conditions(), [[1, 2], [3, 4]]
    sampling = [d.Sampling(denoising_steps=3, guidance=2.0) for d in pair]
    together = coupler(*pair).generate_latents(pair, given, seeds=seeds, sampling=sampling)
    for n, decoder in enumerate(pair):
        alone = decoder.generate_latents(given[n], seeds=seeds[n], sampling=sampling[n])
        torch.testing.assert_close(together[n], alone, atol=1e-5, rtol=1e-4)


def test_a_new_coupler_changes_no_sample_of_an_edit() -> None:
    pair, given = [brush(reference=True), voice()], conditions()
    reference = torch.cat([torch.zeros(1, 3, 8, 8), torch.rand(1, 3, 8, 8)])
    given[0] = Condition(given[0].features, reference, torch.tensor([False, True]))
    sampling = [d.Sampling(denoising_steps=2, guidance=2.0, reference_guidance=1.5) for d in pair]
    made, _ = coupler(*pair).generate_latents(pair, given, seeds=[[1, 2], [3, 4]], sampling=sampling)
    alone = pair[0].generate_latents(given[0], seeds=[1, 2], sampling=sampling[0])
    torch.testing.assert_close(made, alone, atol=1e-5, rtol=1e-4)


def test_gradient_of_either_loss_reaches_both_sides_and_the_coupler() -> None:
    joint, pair = coupler(), pair_of()
    for chosen in (0, 1):
        joint(pair, conditions(), targets(pair))[chosen].sum().backward()
    listeners = (joint.to_first, joint.to_second)
    assert all(listener.change[-1].weight.grad.abs().sum() > 0 for listener in listeners)
    opened(joint)
    for chosen in (0, 1):
        joint.zero_grad()
        joint(pair, conditions(), targets(pair))[chosen].sum().backward()
        parameters = list(listeners[chosen].parameters())
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters)


def test_both_targets_are_seen_at_the_same_diffusion_time() -> None:
    joint, pair, seen = coupler(), pair_of(), []
    joint.to_first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    joint.to_second.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    stacks = targets(pair)
    joint(pair, conditions(), stacks, [[2, 5], [7, 8]])
    (_, _, of_second, times), (_, _, of_first, again) = seen
    assert torch.equal(times, again)
    for decoder, stack, x in zip(pair, stacks, (of_first, of_second)):
        clean = decoder.latents(stack)
        abar = decoder.scheduler.alphas_cumprod[times].view(-1, 1, 1, 1)
        noise = (x - abar.sqrt() * clean) / (1 - abar).sqrt()
        assert 0.3 < float(noise.std()) < 3.0
    expected = [torch.randint(1000, (1,), generator=torch.Generator().manual_seed(seed)) for seed in (2, 5)]
    assert torch.equal(times, torch.cat(expected))


def test_coupled_media_have_both_modalities_and_their_features() -> None:
    pair, given = pair_of(), conditions()
    sampling = [d.Sampling(denoising_steps=1) for d in pair]
    made = opened(coupler()).generate(pair, given, seeds=[[1, 2], [3, 4]], sampling=sampling)
    picture_made, sound_made = (items[0] for items in made)
    assert (picture_made.modality, sound_made.modality) == ("image", "audio")
    assert picture_made.tensor().shape == (3, 8, 8)
    assert sound_made.meta == {"sample_rate": RATE}
    assert torch.equal(picture_made.features, given[0].features[0].detach())  # type: ignore[arg-type]


def test_the_coupler_runs_in_bfloat16_and_leaves_the_features_precision() -> None:
    features = [torch.randn(2, 1, 4), torch.randn(2, 2, 4)]
    noisy = [torch.randn(2, 4, 3, 5), torch.randn(2, 4, 2, 3, 3)]
    out = opened(coupler()).to(torch.bfloat16).join(features, noisy, torch.tensor([3, 700]))
    assert [o.dtype for o in out] == [torch.float32] * 2
    assert all(not torch.equal(o, f) for o, f in zip(out, features))


def test_decoders_of_other_diffusion_times_are_refused() -> None:
    for more in ({"timestep_spacing": "leading"}, {"num_train_timesteps": 500}):
        with pytest.raises(ConfigError, match="do not visit the same diffusion times"):
            coupler(brush(), voice(schedule={**SCHEDULE, **more}))


def test_what_is_no_latent_diffusion_decoder_is_refused() -> None:
    with pytest.raises(ConfigError, match="Linear is no latent diffusion decoder"):
        coupler(brush(), torch.nn.Linear(1, 1))  # type: ignore[arg-type]


def test_sizes_that_do_not_divide_are_named() -> None:
    with pytest.raises(ConfigError, match=r"width: must be a multiple of heads, 30 is not one of 4"):
        build("coupler", "condition-coupler", {"width": 30}, decoders=(brush(), voice()))
