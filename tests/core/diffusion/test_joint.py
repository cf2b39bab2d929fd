"""Coupled decoders: nothing changes at the start, both sides learn from each other, and samples come to agree."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from anyloom.building import build
from anyloom.conversation import Media
from anyloom.diffusion.coupling import ConditionCoupler, CouplerSizes
from anyloom.diffusion.joint import Side, joint_generate, joint_latents, joint_loss, require_shared_times
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.objective import Noised
from anyloom.errors import ConfigError

RATE = 16000
SCHEDULE = {"beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "trailing"}
SMALL = {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4}


def brush(**more: Any) -> LatentDiffusionDecoder:
    unet = {**SMALL, "block_out_channels": [8], "cross_attention_dim": 8, "attention_head_dim": 2}
    options = {"space": "s", "dim": 4, "picture_size": 8, "schedule": SCHEDULE, "context_tokens": 1}
    decoder: LatentDiffusionDecoder = build(
        "decoder", "sd-unclip", {**options, "autoencoder": SMALL, "unet": unet, **more}
    )
    return decoder


def voice(**more: Any) -> LatentDiffusionDecoder:
    mel = {"frames": 8, "num_mels": 8, "fft_size": 256, "hop": 64}
    options = {"space": "s", "dim": 4, "tokens": 2, "prediction": "v_prediction", "schedule": SCHEDULE, "mel": mel}
    sizes = {"autoencoder": {**SMALL, "latent_channels": 4}, "unet": {**SMALL, "attention_head_dim": 4}}
    decoder: LatentDiffusionDecoder = build(
        "decoder", "audioldm2", {**options, **sizes, "lm_tokens": 1, "lm_dim": 8, **more}
    )
    return decoder


def coupler() -> ConditionCoupler:
    return ConditionCoupler(CouplerSizes(width=16, heads=2, places=4, detail=2), (4, 4), (4, 4))


def opened(joint: ConditionCoupler) -> ConditionCoupler:
    """A coupler whose last layers are no longer zero."""
    for listener in (joint.to_first, joint.to_second):
        torch.nn.init.normal_(listener.change[-1].weight, std=0.5)
    return joint


def pictures(decoder: LatentDiffusionDecoder) -> Tensor:
    colours = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 1.0]])
    return torch.stack([decoder.preprocess(Media("image", c[:, None, None].expand(3, 8, 8))) for c in colours])


def sounds(decoder: LatentDiffusionDecoder) -> Tensor:
    waves = [0.3 * torch.sin(2 * math.pi * hz * torch.arange(512) / RATE)[None] for hz in (400.0, 3000.0)]
    return torch.stack([decoder.preprocess(Media("audio", wave, meta={"sample_rate": RATE})) for wave in waves])


def sides(**more: Any) -> list[Side]:
    return [
        Side(brush(**more), torch.randn(2, 1, 4, requires_grad=True)),
        Side(voice(**more), torch.randn(2, 2, 4, requires_grad=True)),
    ]


def targets(pair: list[Side]) -> list[Tensor]:
    return [pictures(pair[0].decoder), sounds(pair[1].decoder)]


def test_a_new_coupler_changes_no_loss() -> None:
    pair = sides()
    stacks = targets(pair)
    together = joint_loss(coupler(), pair, stacks, torch.Generator().manual_seed(0))
    generator, times = torch.Generator().manual_seed(0), None
    for side, stack, loss in zip(pair, stacks, together):
        schedule = side.decoder.scheduler.alphas_cumprod
        noised = Noised.draw(side.decoder.latents(stack), schedule, generator, times)
        times = noised.steps
        torch.manual_seed(5)
        torch.testing.assert_close(loss, side.decoder.errors(side.features, noised), atol=1e-3, rtol=1e-3)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("scheduler", ["DDIMScheduler", "DDPMScheduler", "DPMSolverMultistepScheduler"])
def test_a_new_coupler_changes_no_sample(scheduler: str) -> None:
    first = brush(schedule={**SCHEDULE, "scheduler": scheduler}, noise={"sampling": 300})
    second = voice(schedule={**SCHEDULE, "scheduler": scheduler})
    pair, seeds = [Side(first, torch.randn(2, 1, 4)), Side(second, torch.randn(2, 2, 4))], [[1, 2], [3, 4]]
    how = {"steps": 3, "guidance": 2.0}
    together = joint_latents(coupler(), pair, seeds=seeds, **how)
    for side, own, latents in zip(pair, seeds, together):
        alone = side.decoder.generate_latents(side.features, seeds=own, **how)
        torch.testing.assert_close(latents, alone, atol=1e-5, rtol=1e-4)


def test_a_new_coupler_changes_no_sample_of_an_edit() -> None:
    pair = [
        Side(brush(source=True), torch.randn(2, 1, 4), [None, torch.rand(3, 8, 8)]),
        Side(voice(), torch.randn(2, 2, 4)),
    ]
    how = {"steps": 2, "guidance": 2.0, "source_guidance": 1.5}
    made, _ = joint_latents(coupler(), pair, seeds=[[1, 2], [3, 4]], **how)
    alone = pair[0].decoder.generate_latents(pair[0].features, seeds=[1, 2], source=pair[0].source, **how)
    torch.testing.assert_close(made, alone, atol=1e-5, rtol=1e-4)


def test_gradient_of_either_loss_reaches_both_sides_and_the_coupler() -> None:
    joint = coupler()
    for chosen in (0, 1):
        pair = sides()
        joint_loss(joint, pair, targets(pair))[chosen].sum().backward()
    listeners = (joint.to_first, joint.to_second)
    assert all(listener.change[-1].weight.grad.abs().sum() > 0 for listener in listeners)
    opened(joint)
    for chosen in (0, 1):
        pair = sides()
        joint.zero_grad()
        joint_loss(joint, pair, targets(pair))[chosen].sum().backward()
        for side in pair:
            assert side.features.grad is not None
            assert bool((side.features.grad.abs().sum((1, 2)) > 0).all())
            assert all(p.grad is None for p in side.decoder.parameters())
        parameters = list(listeners[chosen].parameters())
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters)


def test_both_targets_are_seen_at_the_same_diffusion_time() -> None:
    joint, pair, seen = coupler(), sides(), []
    joint.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    stacks = targets(pair)
    joint_loss(joint, pair, stacks, torch.Generator().manual_seed(2))
    _, noisy, times = seen[0]
    for side, stack, x in zip(pair, stacks, noisy):
        clean = side.decoder.latents(stack)
        abar = side.decoder.scheduler.alphas_cumprod[times].view(-1, 1, 1, 1)
        noise = (x - abar.sqrt() * clean) / (1 - abar).sqrt()
        assert 0.3 < float(noise.std()) < 3.0
    generator = torch.Generator().manual_seed(2)
    assert torch.equal(times, torch.randint(1000, (2,), generator=generator))


def test_a_row_of_a_pair_depends_on_its_seeds_and_nothing_else() -> None:
    joint, pair = opened(coupler()), sides()
    seeds = [[1, 2], [3, 4]]
    together = joint_latents(joint, pair, seeds=seeds, steps=2, guidance=2.0)
    again = joint_latents(joint, pair, seeds=seeds, steps=2, guidance=2.0)
    second = [Side(side.decoder, side.features[1:]) for side in pair]
    alone = joint_latents(joint, second, seeds=[[2], [4]], steps=2, guidance=2.0)
    other = joint_latents(joint, second, seeds=[[2], [5]], steps=2, guidance=2.0)
    for n in (0, 1):
        assert torch.equal(together[n], again[n])
        torch.testing.assert_close(together[n][1:], alone[n], atol=1e-4, rtol=1e-4)
        assert not torch.allclose(alone[n], other[n], atol=1e-3)


def test_coupled_media_have_both_modalities_and_their_features() -> None:
    pair = sides()
    picture, sound = (items[0] for items in joint_generate(opened(coupler()), pair, seeds=[[1, 2], [3, 4]], steps=1))
    assert (picture.modality, sound.modality) == ("image", "audio")
    assert picture.tensor().shape == (3, 8, 8)
    assert sound.meta == {"sample_rate": RATE}
    assert torch.equal(picture.features, pair[0].features[0].detach())  # type: ignore[arg-type]


def test_the_coupler_runs_in_bfloat16_and_leaves_the_features_precision() -> None:
    features = [torch.randn(2, 1, 4), torch.randn(2, 2, 4)]
    noisy = [torch.randn(2, 4, 3, 5), torch.randn(2, 4, 2, 3, 3)]
    out = opened(coupler()).to(torch.bfloat16)(features, noisy, torch.tensor([3, 700]))
    assert [o.dtype for o in out] == [torch.float32] * 2
    assert all(not torch.equal(o, f) for o, f in zip(out, features))


def test_decoders_of_other_diffusion_times_are_refused() -> None:
    require_shared_times(brush(), voice())
    for more in ({"timestep_spacing": "leading"}, {"num_train_timesteps": 500}):
        with pytest.raises(ConfigError, match="do not visit the same diffusion times"):
            require_shared_times(brush(), voice(schedule={**SCHEDULE, **more}))


def test_sizes_that_do_not_divide_are_named() -> None:
    with pytest.raises(ValueError, match="30 is not one of 4"):
        CouplerSizes(width=30)


def test_pairs_that_features_do_not_tell_apart_are_learned_and_sampled_together() -> None:
    """A red picture goes with a low tone, a blue one with a high tone; the features say neither."""
    decoders = [brush(sketch=True), voice(sketch=True)]
    stacks = [pictures(decoders[0]), sounds(decoders[1])]
    silent, latents = [], []
    for decoder, stack in zip(decoders, stacks):
        features = torch.randn(2, decoder.config.tokens, 4)
        decoder.autoencoder.fit_latents(stack)
        decoder.fit_sketch(features, decoder.latents(stack))
        silent.append(features.mean(0, keepdim=True))
        latents.append(decoder.latents(stack))
    joint, which = coupler(), torch.arange(16) % 2
    pair = [Side(d, f.expand(16, -1, -1)) for d, f in zip(decoders, silent)]
    wanted = [stack[which] for stack in stacks]

    def losses() -> Tensor:
        with torch.no_grad():
            return torch.stack([x.mean() for x in joint_loss(joint, pair, wanted, torch.Generator().manual_seed(0))])

    def outcomes() -> list[Tensor]:
        made = joint_latents(joint, pair, seeds=[list(range(16)), list(range(100, 116))], steps=10)
        return [torch.cdist(x.flatten(1), own.flatten(1)).argmin(1) for x, own in zip(made, latents)]

    uncoupled, (first, second) = losses(), outcomes()
    assert float((first == second).float().mean()) < 0.8
    optimizer = torch.optim.AdamW(joint.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        sum(x.mean() for x in joint_loss(joint, pair, wanted)).backward()  # type: ignore[union-attr]
        optimizer.step()
    assert bool((losses() < 0.3 * uncoupled).all())
    first, second = outcomes()
    assert float((first == second).float().mean()) > 0.9
    assert len(first.unique()) == 2
