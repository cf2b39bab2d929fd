"""CLAP: preprocessing against transformers' own feature extractor, features, published folders, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import ClapAudioConfig, ClapAudioModelWithProjection, ClapConfig, ClapFeatureExtractor, ClapModel

from anyloom import build
from anyloom.conversation import Media
from anyloom.errors import CheckpointError, ConfigError, MediaError
from anyloom.sequence.preprocess import Preprocess
from anyloom.testing import EncoderCase, EncoderChecks
from anyloom_clip.clap import CLAPEncoder
from anyloom_clip.tiny import CLAP, clap

SIZES: dict[str, Any] = CLAP["architecture"]
SHORT: dict[str, Any] = CLAP["preparation"]
NUMBERS: dict[str, Any] = {
    "sampling_rate": 16000,
    "max_length_s": 1,
    "hop_length": 80,
    "frequency_min": 50,
    "frequency_max": 7000,
}
FUSED: dict[str, Any] = {"enable_fusion": True, "fusion_type": "aff_2d"}


def tiny(**more: Any) -> CLAPEncoder:
    return CLAPEncoder.from_options({"architecture": SIZES, "preparation": SHORT, **more})


def sound(samples: int, rate: int = 16000) -> Media:
    return Media("audio", torch.randn(1, samples) * 0.1, meta={"sample_rate": float(rate)})


def extracted(media: Media, **options: Any) -> torch.Tensor:
    """What transformers' extractor makes of a sound: ``(channels, frames, bands)``."""
    wave = media.tensor()[0].double().numpy()
    extractor = ClapFeatureExtractor(**options)
    return extractor(wave, sampling_rate=extractor.sampling_rate, return_tensors="pt")["input_features"][0].float()


def publish(folder: Path, **audio: Any) -> ClapAudioModelWithProjection:
    """Write a folder of both towers, with leftover defaults in its parts, and return the audio tower."""
    text = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    text |= {"vocab_size": 8, "max_position_embeddings": 8, "pad_token_id": 0, "bos_token_id": 1}
    sizes = {**SIZES, "hidden_size": 16, **audio}
    both = ClapConfig(text_config=text, audio_config=sizes, projection_dim=6, projection_hidden_act="gelu")
    whole = ClapModel(both).eval()
    whole.save_pretrained(folder)
    written = json.loads((folder / "config.json").read_text())
    written["audio_config"] |= {"projection_dim": 512, "projection_hidden_act": "relu"}
    (folder / "config.json").write_text(json.dumps(written))
    wanted = {**sizes, "projection_dim": 6, "projection_hidden_act": "gelu"}
    alone = ClapAudioModelWithProjection(ClapAudioConfig(**wanted)).eval()
    alone.load_state_dict({k: v for k, v in whole.state_dict().items() if k.startswith("audio")})
    return alone


class TestConformance(EncoderChecks):
    @pytest.fixture
    def case(self, tmp_path: Path) -> EncoderCase:
        return clap(tmp_path)


@pytest.mark.parametrize("samples", [5000, 16000, 9999])
@pytest.mark.parametrize(("scale", "truncation"), [("slaney", "rand_trunc"), ("htk", "fusion")])
def test_preprocessing_is_that_of_transformers(samples: int, scale: str, truncation: str) -> None:
    media = sound(samples)
    ours = tiny(preparation={**SHORT, "mel_scale": scale}).preprocess(media)
    theirs = extracted(media, feature_size=16, truncation=truncation, **NUMBERS)
    assert ours.shape == (1, 201, 16)
    torch.testing.assert_close(ours[0], theirs[0], atol=1e-3, rtol=0)


def test_published_numbers_are_the_defaults() -> None:
    media = sound(96001, 48000)
    encoder = CLAPEncoder.from_options(architecture={**SIZES, "num_mel_bins": 64, "spec_size": 256})
    theirs = extracted(media, truncation="rand_trunc", frequency_min=50)
    torch.testing.assert_close(encoder.preprocess(media), theirs, atol=1e-3, rtol=0)


def test_long_sounds_are_cut_and_channels_averaged() -> None:
    media = sound(40000)
    begin = Media("audio", media.tensor()[:, :16000], meta=media.meta)
    with pytest.warns(UserWarning, match="heard for 1 s; a longer one is cut"):
        assert torch.equal(tiny().preprocess(media), tiny().preprocess(begin))
    media = begin
    stereo = torch.cat([media.tensor() * 2, torch.zeros(1, 16000)])
    torch.testing.assert_close(tiny().preprocess(Media("audio", stereo, meta=media.meta)), tiny().preprocess(media))


def test_a_tone_lies_in_the_same_bands_at_any_sample_rate() -> None:
    def tone(rate: int) -> Media:
        wave = torch.sin(2 * torch.pi * 1000 * torch.arange(rate) / rate)
        return Media("audio", wave[None], meta={"sample_rate": float(rate)})

    same, resampled = tiny().preprocess(tone(16000)), tiny().preprocess(tone(22050))
    loud = same[0, 20:180] > same.max() - 20
    assert bool(loud.any())
    torch.testing.assert_close(resampled[0, 20:180][loud], same[0, 20:180][loud], atol=0.1, rtol=0)


@pytest.mark.parametrize("audio", [{}, FUSED])
def test_features_of_a_published_folder_are_those_of_transformers(tmp_path: Path, audio: dict[str, Any]) -> None:
    reference = publish(tmp_path, **audio)
    encoder = CLAPEncoder.from_options(weights=str(tmp_path), preparation=SHORT)
    encoder.load_weights()
    media = sound(5000)
    inputs = encoder.preprocess(media)[None].repeat(2, 1, 1, 1)
    with torch.no_grad():
        expected = reference(inputs, is_longer=torch.zeros(2, 1, dtype=torch.bool)).audio_embeds
    assert encoder.feature_space("audio").dim == 6
    torch.testing.assert_close(encoder(inputs, "audio")[:, 0], expected)


def test_tokens_are_in_order_of_time() -> None:
    encoder = tiny(features="tokens")
    space = encoder.feature_space("audio")
    early = sound(16000)
    late = Media("audio", early.tensor().clone(), meta=early.meta)
    late.tensor()[:, 12000:] = 0.5 * torch.randn(1, 4000)
    first, second = (encoder(encoder.preprocess(m)[None], "audio")[0] for m in (early, late))
    assert first.shape == (space.tokens, space.dim) == (64, 6)
    assert space.name == "clap-tokens"
    change = (first - second).square().mean(1).view(4, 16).mean(1)
    assert change[3] > 2 * change[:3].max()


def test_the_mean_of_tokens_before_the_projection_is_the_pooled_feature() -> None:
    encoder = tiny(features="tokens")
    inputs = encoder.preprocess(sound(5000))[None]
    encoder.network.audio_projection = torch.nn.Identity()
    tokens = encoder(inputs, "audio")
    torch.testing.assert_close(tokens.mean(1), encoder.network(inputs, torch.zeros(1, 1)).audio_embeds)


def test_frozen_encoders_keep_their_statistics_and_others_get_gradient() -> None:
    frozen = tiny().train()
    norm = frozen.network.audio_model.audio_encoder.batch_norm
    before = norm.running_mean.clone()
    inputs = frozen.preprocess(sound(5000))[None]
    frozen(inputs, "audio")
    assert torch.equal(norm.running_mean, before)
    free = tiny(freeze=False).train()
    free(inputs, "audio").sum().backward()
    assert all(p.grad is not None for p in free.network.audio_projection.parameters())
    assert free.network.training


def test_published_preprocessing_numbers_are_used_and_go_into_a_saved_model(tmp_path: Path) -> None:
    publish(tmp_path)
    ClapFeatureExtractor(feature_size=16, truncation="rand_trunc", **NUMBERS).save_pretrained(tmp_path)
    encoder = CLAPEncoder.from_options(weights=str(tmp_path))
    encoder.load_weights()
    media = sound(7000)
    theirs = extracted(media, feature_size=16, truncation="rand_trunc", **NUMBERS)
    torch.testing.assert_close(encoder.preprocess(media), theirs, atol=1e-3, rtol=0)

    options = {**encoder.config.model_dump(mode="json"), **encoder.portable_options(tmp_path, "ear")}
    again = build("encoder", "clap", json.loads(json.dumps(options)))
    again.load_state_dict(encoder.state_dict())
    inputs = again.preprocess(media)[None]
    torch.testing.assert_close(again(inputs, "audio"), encoder(inputs, "audio"))


def test_builds_and_prepares_on_the_meta_device() -> None:
    with torch.device("meta"):
        encoder = tiny()
    assert {p.device.type for p in encoder.parameters()} == {"meta"}
    rebuild, arguments = Preprocess(encoder).__reduce__()
    prepared = rebuild(*arguments)(sound(5000))
    assert prepared.device.type == "cpu"
    assert bool(prepared.isfinite().all())


def test_default_sizes_are_those_of_transformers() -> None:
    with torch.device("meta"):
        ours = CLAPEncoder.from_options(architecture={})
        theirs = ClapAudioModelWithProjection(ClapAudioConfig())
    assert {k: v.shape for k, v in ours.network.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }
    assert ours.sizes.tokens == 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give 'weights' or 'architecture'"),
        ({"architecture": {**SIZES, "depths": [1, 1, 1]}}, "2 entries for 3 depths"),
        ({"architecture": {**SIZES, "spec_size": 60}}, "not a multiple of 16 mel bins"),
        ({"architecture": SIZES, "preparation": {**SHORT, "seconds": 2}}, "2 s are 401 frames, the network takes 256"),
        ({"architecture": SIZES, "preparation": {"sample_rat": 1}}, "did you mean 'sample_rate'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CLAPEncoder.from_options(options)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [({"padding": "pad"}, "padding pad"), ({"top_db": 80}, "top_db 80"), ({"feature_size": 64}, "64 mel bands")],
)
def test_preprocessing_that_is_not_done_here_is_refused(numbers: dict[str, Any], message: str, tmp_path: Path) -> None:
    publish(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(numbers))
    with pytest.raises(CheckpointError, match=message):
        CLAPEncoder.from_options(weights=str(tmp_path))


def test_media_that_are_no_sounds_are_refused() -> None:
    with pytest.raises(MediaError, match="sample rate is unknown"):
        tiny().preprocess(Media("audio", torch.zeros(1, 100)))
    for wave, message in (
        (torch.zeros(1, 0), r"\(C, T\)"),
        (torch.zeros(100), r"\(C, T\)"),
        (torch.zeros(1, 9, dtype=torch.int16), "int16"),
        (torch.full((1, 9), torch.inf), "NaN or infinite"),
    ):
        with pytest.raises(MediaError, match=message):
            tiny().preprocess(Media("audio", wave, meta={"sample_rate": 16000.0}))
    with pytest.raises(ConfigError, match="encodes audio, not image"):
        tiny().feature_space("image")


def test_silence_is_the_floor() -> None:
    prepared = tiny().preprocess(Media("audio", torch.zeros(1, 50), meta={"sample_rate": 16000.0}))
    np.testing.assert_allclose(prepared.numpy(), -100.0, atol=1e-4)
