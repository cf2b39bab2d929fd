"""The small decoders: what every latent diffusion decoder must do, and the numbers that the shipped weights gave."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from anyloom.building import build
from anyloom.cli.model_argument import shipped_weights
from anyloom.conversation import Media
from anyloom.diffusion.couplers import ConditionCoupler
from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.interfaces import Condition
from anyloom.interfaces.progress import watching_progress
from anyloom_mini.clip_decoder import MiniClip
from anyloom_mini.opponent import OPPONENT
from anyloom_mini.picture_decoder import MiniPicture
from anyloom_mini.sketched_decoder import SketchedDecoder
from anyloom_mini.sound_decoder import MiniSound
from anyloom_mini.tiny import CLIP, PICTURE, SOUND
from latent_reference_contract import LatentReferenceContract

SCHEDULE = {"beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "trailing"}
RATE = 16000


def tone(hz: float, samples: int = 8000) -> Media:
    wave = 0.3 * torch.sin(2 * math.pi * hz * torch.arange(samples) / RATE)
    return Media("audio", wave[None], meta={"sample_rate": float(RATE)})


def begun(decoder: SketchedDecoder) -> SketchedDecoder:
    """What starts at zero moved a little, as training would, so that network and autoencoder take part."""
    vae, linear = decoder.autoencoder.vae, decoder.autoencoder.linear
    for layer in (decoder.unet.conv_out, vae.encoder.conv_out, vae.decoder.conv_out):
        torch.nn.init.normal_(layer.weight, std=0.1)
    for tensor in (linear.encoder, linear.decoder, decoder.sketch.weight):
        torch.nn.init.normal_(tensor, std=0.1)
    return decoder


class SketchedContract(LatentReferenceContract):
    def build(self, **more: Any) -> LatentDiffusionDecoder:
        decoder = super().build(**more)
        assert isinstance(decoder, SketchedDecoder)
        return begun(decoder)


class TestMiniPicture(SketchedContract):
    decoder_class = MiniPicture
    options = {**PICTURE, "schedule": SCHEDULE, "start_noise": 1.0}  # noqa: RUF012

    def media(self, number: int) -> Media:
        colour = torch.tensor([[1.0, 0.2, 0.0], [0.0, 0.4, 1.0]])[number % 2]
        return Media("image", colour[:, None, None].expand(3, 20, 20).contiguous())


class TestMiniClip(SketchedContract):
    decoder_class = MiniClip
    options = {**CLIP, "schedule": SCHEDULE, "start_noise": 1.0}  # noqa: RUF012

    def media(self, number: int) -> Media:
        colour = torch.tensor([[1.0, 0.2, 0.0], [0.0, 0.4, 1.0]])[number % 2]
        frames = torch.linspace(0.2, 1, 4)[:, None, None, None] * colour[:, None, None]
        return Media("video", frames.expand(4, 3, 20, 20).contiguous(), meta={"fps": 8.0})


class TestMiniSound(SketchedContract):
    decoder_class = MiniSound
    options = {**SOUND, "schedule": SCHEDULE, "start_noise": 1.0}  # noqa: RUF012

    def media(self, number: int) -> Media:
        return tone(300.0 * (number + 1))


def test_sounds_of_one_call_can_be_left_between_two() -> None:
    """A server whose clients have all gone need not finish sixteen sounds."""
    decoder = MiniSound.from_options(SOUND)
    decoded, features = decoder.example().expand(3, -1, -1, -1), torch.zeros(3, 1, 8)
    seen: list[tuple[int, int]] = []

    def leave(done: int, total: int) -> None:
        seen.append((done, total))
        if done == 2:
            raise InterruptedError

    with watching_progress(leave), pytest.raises(InterruptedError):
        decoder.to_media(decoded, [1, 2, 3], features)
    assert seen == [(1, 3), (2, 3)]
    with watching_progress(leave):
        decoder.to_media(decoded[:1], [1], features[:1])
    assert len(seen) == 2


def test_a_new_network_corrects_nothing() -> None:
    """Before training the prediction is the Gaussian denoiser's, whatever the features say to the network."""
    decoder = MiniPicture.from_options(PICTURE)
    latents = torch.randn(2, *decoder.latent_shape)
    losses = [decoder.latent_loss(torch.randn(2, 1, 8), latents, seeds=[1, 2]) for _ in range(2)]
    torch.testing.assert_close(*losses)


def test_sampling_starts_from_calmer_noise() -> None:
    for scale in (1.0, 0.25):
        decoder = MiniPicture.from_options(PICTURE, start_noise=scale)
        noise = decoder.start(RowDraws(64, range(64)), 2).samples
        assert float(noise.std()) == pytest.approx(scale, rel=0.05)


def test_features_are_noised_while_the_decoder_is_trained_only() -> None:
    decoder = MiniSound.from_options(SOUND, freeze=False, feature_noise=0.5)
    with torch.no_grad():
        decoder.feature_std.fill_(2.0)
    features = torch.zeros(4000, 2, 8)
    decoder.train()
    own, drawn = decoder.condition(features, RowDraws(4000, range(4000)))
    assert float(own.square().mean()) == pytest.approx(0.5**2 * 2.0**2 / 3, rel=0.05)  # E[u^2] = 1/3 for u in [0, 1)
    torch.testing.assert_close(drawn, decoder.sketch.draw(own))
    assert not decoder.eval().condition(features, RowDraws(4000))[0].any()
    assert not decoder.train().condition(features, RowDraws(4000), sampling=True)[0].any()


def test_opponent_axes_are_orthonormal_and_colour_weighs_more() -> None:
    axes = torch.tensor(OPPONENT)
    torch.testing.assert_close(axes @ axes.T, torch.eye(3))
    decoder, target = MiniPicture.from_options(PICTURE, colour_weight=1.5), torch.zeros(1, 3, 4, 4)
    along = axes[:, None, :, None, None].expand(-1, 1, -1, 4, 4)
    l2 = [float(decoder.reconstruction_terms(axis, target)["l2"]) for axis in along]
    assert l2 == pytest.approx([1 / 3, 1.5 / 3, 1.5 / 3])


def test_log_mel_lies_between_minus_one_and_one() -> None:
    decoder = MiniSound.from_options(SOUND)
    silence = decoder.preprocess(Media("audio", torch.zeros(1, 100), meta={"sample_rate": RATE}))
    loud = decoder.preprocess(Media("audio", torch.rand(1, 8000) * 2 - 1, meta={"sample_rate": RATE}))
    assert silence.unique().tolist() == pytest.approx([(math.log(1e-5) + 5) / 6.5])
    torch.testing.assert_close(decoder.example()[0], silence)
    assert loud.max() < 1.1


def test_pairs_that_features_do_not_tell_apart_are_learned_and_sampled_together() -> None:
    """A red picture goes with a low tone, a blue one with a high tone; the features say neither."""
    torch.manual_seed(0)
    still = {"start_noise": 1.0, "feature_noise": 0.0}
    sizes = {"block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4}
    picture = MiniPicture.from_options(
        {**PICTURE, "dim": 4, "picture_size": 8, "schedule": SCHEDULE, "autoencoder": sizes, **still}
    )
    mel = {"frames": 8, "num_mels": 8, "fft_size": 256, "hop": 64}
    sound = MiniSound.from_options({**SOUND, "dim": 4, "mel": mel, "schedule": SCHEDULE, "autoencoder": sizes, **still})
    colours = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 1.0]])
    stacks = [
        torch.stack([picture.preprocess(Media("image", c[:, None, None].expand(3, 8, 8))) for c in colours]),
        torch.stack([sound.preprocess(tone(hz, 512)) for hz in (400.0, 3000.0)]),
    ]
    features = [torch.randn(2, tokens, 4) for tokens in (1, 2)]
    pair = [picture, sound]
    for decoder, own, stack in zip(pair, features, stacks):
        for layer in (decoder.autoencoder.vae.encoder.conv_out, decoder.autoencoder.vae.decoder.conv_out):
            layer.reset_parameters()
        decoder.autoencoder.fit_latents(stack)
        decoder.fit(own, decoder.latents(stack))
    joint: ConditionCoupler = build(
        "coupler", "condition-coupler", {"width": 16, "heads": 2, "places": 4, "detail": 2}, decoders=pair
    )
    given = [Condition(f.mean(0, keepdim=True).expand(16, -1, -1)) for f in features]
    which = torch.arange(16) % 2
    wanted, latents = [stack[which] for stack in stacks], [d.latents(s) for d, s in zip(pair, stacks)]

    def losses() -> Tensor:
        with torch.no_grad():
            return torch.stack([x.mean() for x in joint(pair, given, wanted, [range(16), range(100, 116)])])

    def outcomes() -> list[Tensor]:
        sampling = [d.Sampling(denoising_steps=10) for d in pair]
        made = joint.generate_latents(pair, given, seeds=[range(16), range(100, 116)], sampling=sampling)
        return [torch.cdist(x.flatten(1), own.flatten(1)).argmin(1) for x, own in zip(made, latents)]

    uncoupled, (first, second) = losses(), outcomes()
    assert float((first == second).float().mean()) < 0.8
    optimizer = torch.optim.AdamW(joint.parameters(), lr=1e-2)
    for _ in range(120):
        optimizer.zero_grad()
        sum(x.mean() for x in joint(pair, given, wanted)).backward()  # type: ignore[union-attr]
        optimizer.step()
    assert bool((losses() < 0.3 * uncoupled).all())
    first, second = outcomes()
    assert float((first == second).float().mean()) > 0.9
    assert len(first.unique()) == 2


SHIPPED: dict[str, dict[str, Any]] = {
    "brush": {
        "name": "mini-picture",
        "space": "conv-image",
        "dim": 160,
        "scale": "standard",
        "reference": True,
        "denoising_steps": 10,
        "attention": "eager",
        "schedule": SCHEDULE,
        "autoencoder": {
            "block_out_channels": [64], "layers_per_block": 1, "latent_channels": 24, "norm_num_groups": 8, "patch": 8,
        },
        "unet": {
            "block_out_channels": [64, 128], "layers_per_block": 1, "cross_attention_dim": 64,
            "attention_head_dim": 4, "attention_levels": [False, True], "norm_num_groups": 8,
        },
    },
    "voice": {
        "name": "mini-sound",
        "space": "conv-audio",
        "dim": 96,
        "scale": "standard",
        "denoising_steps": 10,
        "attention": "eager",
        "schedule": SCHEDULE,
        "mel": {"frames": 128, "hop": 320, "num_mels": 64},
        "autoencoder": {
            "block_out_channels": [64], "layers_per_block": 1, "latent_channels": 12, "norm_num_groups": 8, "patch": 8,
        },
        "unet": {
            "block_out_channels": [32, 64], "layers_per_block": 1, "attention_head_dim": 16, "norm_num_groups": 8,
        },
    },
}  # fmt: skip


@pytest.mark.skipif(shipped_weights("mini") is None, reason="no weights ship with the recipe mini")
@pytest.mark.parametrize("key", SHIPPED)
def test_the_shipped_decoders_give_what_they_gave_when_they_were_trained(key: str) -> None:
    """Tensors by their old names; expected values by the code that trained them (golden/README.md)."""
    folder = shipped_weights("mini")
    assert folder is not None
    options = dict(SHIPPED[key])
    decoder = build("decoder", options.pop("name"), options).eval()
    prefix = f"decoders.{key}."
    stored = load_file(folder / "model.safetensors")
    decoder.load_state_dict({k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)})
    golden = load_file(Path(__file__).parents[2] / "golden" / "mini_decoders.safetensors")

    if key == "brush":
        media = [Media("image", torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(n))) for n in range(3)]
    else:
        media = [tone(hz, 32000) for hz in (300.0, 700.0, 1900.0)]
    targets = torch.stack([decoder.preprocess(m) for m in media])
    features = torch.randn(3, 1, options["dim"], generator=torch.Generator().manual_seed(1))
    plain, guided = Condition(features), {"guidance": 2.0, "denoising_steps": 5}

    def made(condition: Condition, **sampling: Any) -> Tensor:
        return decoder.generate_latents(condition, seeds=[1, 2, 3], sampling=decoder.Sampling(**sampling))[:2]

    found = {
        f"{key}.latents": decoder.latents(targets)[:2],
        f"{key}.plain": made(plain),
        f"{key}.guided": made(plain, **guided),
    }
    if key == "brush":
        reference = torch.stack([targets[1], torch.zeros_like(targets[0]), targets[0]])
        edit = Condition(features, reference, torch.tensor([True, False, True]))
        found["brush.edited"] = made(edit)
        found["brush.edited_guided"] = made(edit, **guided, reference_guidance=1.5)
    for name, value in found.items():
        # The bands beside a pure tone hold nothing but the rounding of the Fourier transform, and their logarithm shows
        # it: processors of two makers differ by 0.0017 there, in values of up to 15, and by 3e-6 everywhere else.
        atol = 5e-3 if name == "voice.latents" else 1e-3
        torch.testing.assert_close(value, golden[name], atol=atol, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")
