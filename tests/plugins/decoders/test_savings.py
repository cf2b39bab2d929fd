"""Options for little memory, on diffusers' classes: what they change, and that media stay what they were."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import anyloom
from anyloom import AnyToAnyModel
from anyloom.cli.model_argument import shipped_weights
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.rehearsal import peak_bytes
from anyloom.errors import ConfigError
from anyloom.interfaces import Condition
from anyloom_audioldm2.decoder import AudioLDM2Decoder
from anyloom_audioldm2.tiny import TINY as SOUND
from anyloom_sd.decoder import SDDecoder
from anyloom_sd.tiny import TINY as PICTURE
from anyloom_sd_unclip.decoder import SDUnCLIPDecoder
from anyloom_sd_unclip.tiny import TINY as UNCLIP
from anyloom_zeroscope.decoder import ZeroscopeDecoder
from anyloom_zeroscope.tiny import TINY as CLIP

DECODERS: list[tuple[type[LatentDiffusionDecoder], dict[str, Any]]] = [
    (SDDecoder, PICTURE),
    (SDUnCLIPDecoder, UNCLIP),
    (AudioLDM2Decoder, SOUND),
    (ZeroscopeDecoder, CLIP),
]
WIDE = {**PICTURE, "picture_size": 64}
"""Of 32 x 32 latents: the autoencoder has two levels."""


def pair(cls: type[LatentDiffusionDecoder], options: dict[str, Any], **more: Any) -> tuple[Any, Any]:
    """A decoder, and one of the same weights with more options."""
    plain, changed = cls.from_options(options).eval(), cls.from_options({**options, **more}).eval()
    changed.load_state_dict(plain.state_dict())
    return plain, changed


def condition(decoder: LatentDiffusionDecoder, count: int = 2) -> Condition:
    config = decoder.config
    return Condition(torch.randn(count, config.tokens, config.dim))


def made(decoder: LatentDiffusionDecoder, given: Condition) -> Tensor:
    sampling = decoder.Sampling(denoising_steps=2)
    media = decoder.generate(given, seeds=list(range(len(given.features))), sampling=sampling)
    return torch.stack([m.tensor().float() for m in media])


def seen(module: nn.Module) -> list[Tensor]:
    """What a module is given from now on."""
    inputs: list[Tensor] = []
    module.register_forward_pre_hook(lambda _, given: inputs.append(given[0].detach()))
    return inputs


@pytest.mark.parametrize(("cls", "options"), DECODERS)
def test_slicing_takes_one_row_at_a_time_and_changes_nothing(cls: Any, options: dict[str, Any]) -> None:
    plain, sliced = pair(cls, options, slicing=True)
    whole, rows = seen(plain.autoencoder.vae.decoder), seen(sliced.autoencoder.vae.decoder)
    latents = torch.randn(2, *plain.latent_shape)
    with torch.no_grad():
        torch.testing.assert_close(sliced.autoencoder.decode(latents), plain.autoencoder.decode(latents))
    assert max(len(x) for x in whole) > 1
    assert {len(x) for x in rows} == {1}


def test_squares_are_those_of_diffusers_and_near_to_the_whole() -> None:
    plain, tiled = pair(SDDecoder, WIDE, tile=32)
    theirs: Any = copy.deepcopy(plain.autoencoder.vae)
    theirs.enable_tiling()
    theirs.tile_sample_min_size, theirs.tile_latent_min_size = 32, 16
    squares = seen(tiled.autoencoder.vae.decoder)
    latents = torch.nn.functional.interpolate(torch.randn(2, 4, 8, 8), size=32, mode="bilinear")
    with torch.no_grad():
        ours, whole = tiled.autoencoder.decode(latents), plain.autoencoder.decode(latents)
        raw = latents * plain.autoencoder.latent_std[:, None, None]
        torch.testing.assert_close(ours, theirs.decode(raw).sample)
    assert max(max(x.shape[-2:]) for x in squares) == 16
    assert ours.shape == whole.shape
    assert not torch.equal(ours, whole)
    assert (ours - whole).abs().mean() < 0.5 * whole.std()  # of random weights
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(
            tiled.latents(pictures),
            theirs.encode(pictures).latent_dist.mean / plain.autoencoder.latent_std[:, None, None],
        )


def test_a_picture_through_squares_of_a_trained_autoencoder_is_almost_the_same() -> None:
    """The shipped model's: 30 dB is what JPEG loses."""
    folder = shipped_weights()
    assert folder is not None
    decoder: Any = AnyToAnyModel.from_pretrained(folder, trust=True).decoder("image")
    squares = seen(decoder.autoencoder.vae.decoder)
    picture = decoder.preprocess(anyloom.sample("hat"))[None]
    with torch.no_grad():
        latents = decoder.latents(picture)
        whole = decoder.autoencoder.decode(latents)
        decoder.autoencoder.tile = 32 // decoder.config.autoencoder.reduction
        tiled = decoder.autoencoder.decode(latents)
    assert len(squares) > 2
    assert -10 * ((tiled - whole) / 2).square().mean().log10() > 25


def test_media_smaller_than_a_square_are_the_same() -> None:
    for cls, options in DECODERS:
        plain, tiled = pair(cls, options, tile=64)
        given = condition(plain)
        assert torch.equal(made(tiled, given), made(plain, given)), cls.__name__


def test_sounds_and_clips_are_made_in_squares_too() -> None:
    for cls, options in DECODERS[2:]:
        plain, tiled = pair(cls, options, tile=8)
        squares = seen(tiled.autoencoder.vae.decoder)
        given = condition(plain)
        assert made(tiled, given).shape == made(plain, given).shape
        assert max(max(x.shape[-2:]) for x in squares) <= 4 < max(plain.latent_shape[-2:]), cls.__name__


def test_an_autoencoder_is_trained_whole() -> None:
    """Squares are blended in place, which gradients do not survive."""
    plain, tiled = pair(SDDecoder, WIDE, tile=32)
    pictures = torch.rand(1, 3, 64, 64)
    for decoder in (plain, tiled):
        decoder.train_only("autoencoder")
        torch.manual_seed(0)
        decoder.autoencoder_loss(pictures)["loss"].backward()
    ours, theirs = (d.autoencoder.vae.decoder.conv_in.weight.grad for d in (tiled, plain))
    torch.testing.assert_close(ours, theirs)


def test_squares_must_meet() -> None:
    with pytest.raises(ConfigError, match=r"tile: must be a multiple of 8, four times the autoencoder's reduction"):
        SDDecoder.from_options({**WIDE, "tile": 12})


@pytest.mark.parametrize(("cls", "options"), DECODERS)
def test_networks_compute_in_their_dtype(cls: Any, options: dict[str, Any]) -> None:
    plain = cls.from_options(options).eval()
    half = cls.from_options({**options, "dtype": "bfloat16"}).eval()
    half.load_state_dict({name: value.clone() for name, value in plain.state_dict().items()})
    denoised, decoded = seen(half.unet.conv_in), seen(half.autoencoder.vae.decoder)
    given, sampling = condition(plain), plain.Sampling(denoising_steps=2)
    with torch.no_grad():
        close, exact = (
            d.autoencoder.decode(d.generate_latents(given, seeds=[0, 1], sampling=sampling)) for d in (half, plain)
        )
    assert {x.dtype for x in (*denoised, *decoded)} == {torch.bfloat16}
    assert half.unet.conv_in.weight.dtype == half.autoencoder.vae.dtype == torch.bfloat16
    assert not torch.equal(close, exact)
    assert close.dtype == exact.dtype == torch.float32
    assert (close - exact).abs().mean() < 0.1 * exact.std()
    weights = sum(p.numel() * p.element_size() for p in half.unet.parameters())
    assert 2 * weights == sum(p.numel() * p.element_size() for p in plain.unet.parameters())


def test_in_float16_the_autoencoder_stays_as_it_is() -> None:
    half = SDDecoder.from_options({**PICTURE, "dtype": "float16"})
    assert half.unet.dtype == torch.float16
    assert half.autoencoder.vae.dtype == torch.float32


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_a_compiled_denoiser_makes_the_same_media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.utils import counters

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    plain, compiled = pair(SDDecoder, {**PICTURE, "attention": "eager"}, compile=True)
    counters.clear()
    given = condition(plain)
    torch.testing.assert_close(made(compiled, given), made(plain, given), atol=1e-4, rtol=0)
    assert counters["stats"]["unique_graphs"] > 0
    assert compiled.state_dict().keys() == plain.state_dict().keys()


def profiled(compute: Any, *inputs: Tensor) -> int:
    """The most bytes that torch's profiler sees held at one time."""
    with torch.no_grad(), torch.profiler.profile(profile_memory=True) as profile:
        compute(*inputs)
    held, most = 0, 0
    for event in profile.profiler.kineto_results.events():  # type: ignore[union-attr]
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def test_bytes_are_counted_as_the_profiler_counts_them() -> None:
    plain = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 64), nn.Softmax(-1))
    x = torch.randn(1000, 64)
    assert peak_bytes(copy.deepcopy(plain).to("meta"), x.to("meta")) == profiled(plain, x)
    vae = SDDecoder.from_options(WIDE).autoencoder.vae.eval()
    latents = torch.randn(1, 4, 32, 32)
    counted = peak_bytes(copy.deepcopy(vae).to("meta").decode, latents.to("meta"))
    assert counted <= profiled(vae.decode, latents) <= 1.5 * counted  # convolutions take something for themselves


def test_working_bytes_fall_with_squares_and_precision() -> None:
    with torch.device("meta"):
        full = SDDecoder.from_options({})
        half = SDDecoder.from_options({"dtype": "bfloat16", "tile": 256})
        guided = SDDecoder.from_options({"guidance": 3.0})
    plain, less, more = full.working_bytes(), half.working_bytes(), guided.working_bytes()
    four = "autoencoder, 4 together"
    sliced = f"{four} with slicing: true"
    assert list(plain) == ["denoising", "autoencoder", "autoencoder with tile: 256", four, sliced, "preview"]
    assert plain[four] == pytest.approx(4 * plain["autoencoder"], rel=0.01)
    assert plain["autoencoder"] < plain[sliced] < plain["autoencoder"] + 8 * 4 * 3 * 512 * 512  # and the results
    assert plain["preview"] < plain["autoencoder"] / 10
    assert less["denoising"] == pytest.approx(plain["denoising"] / 2, rel=0.01)
    assert more["denoising"] == pytest.approx(plain["denoising"] * 2, rel=0.05)
    assert less["autoencoder"] < plain["autoencoder with tile: 256"] < plain["autoencoder"] / 3
    # the last level of the autoencoder has 128 channels of 512 x 512 numbers of four bytes, a few of them at a time
    assert 2 <= plain["autoencoder"] / (4 * 128 * 512 * 512) <= 8


def test_bytes_with_slicing_are_those_that_the_profiler_sees() -> None:
    """Of a batch of pictures, and of one clip, whose frames are a batch to the autoencoder."""
    for cls, options, rows, key in (
        (SDDecoder, WIDE, 4, "autoencoder, 4 together"),
        (ZeroscopeDecoder, {**CLIP, "clip": {**CLIP["clip"], "height": 64, "width": 64}}, 1, "autoencoder"),
    ):
        decoder = cls.from_options(options).eval()
        with torch.device("meta"):
            told = cls.from_options(options).working_bytes()
        latents = torch.randn(rows, *decoder.latent_shape)
        seen_whole = profiled(decoder.autoencoder.decode, latents)
        decoder.autoencoder.slicing = True
        seen_sliced = profiled(decoder.autoencoder.decode, latents)
        assert told[key] <= seen_whole <= 1.5 * told[key], cls.__name__
        sliced = told[f"{key} with slicing: true"]
        assert sliced <= seen_sliced <= 1.5 * sliced, cls.__name__


def test_no_slicing_is_told_where_it_is_chosen() -> None:
    with torch.device("meta"):
        told = SDDecoder.from_options({**WIDE, "slicing": True}).working_bytes()
    assert list(told) == ["denoising", "autoencoder", "preview"]
