"""Preprocessing of every modality against the published code's numbers, and what happens to unfit media."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from anyloom.conversation import Media
from anyloom.errors import ConfigError, MediaError
from anyloom_imagebind.clips import clip_spans
from anyloom_imagebind.encoder import ImageBindEncoder
from anyloom_imagebind.pictures import crops, picture_input, short_side, spread_frames, square
from anyloom_imagebind.sound import log_mel, mel_picture, resample, sound_inputs
from imagebind_golden import GOLDEN, OWN_SIZES

AUDIO = np.load(GOLDEN / "imagebind_audio.npz")
VISION = np.load(GOLDEN / "imagebind_vision.npz")
WAVES = sorted(k for k in AUDIO if k.startswith("wave_"))


def tensor(table: Any, key: str) -> Tensor:
    return torch.from_numpy(table[key])


def encoder(**options: Any) -> ImageBindEncoder:
    return ImageBindEncoder.from_options(size=OWN_SIZES, **options)


@pytest.mark.parametrize("index", range(3))
def test_a_picture_is_resized_cut_and_normalised_like_the_reference(index: int) -> None:
    image = VISION[f"image_{index}"]
    resized = np.array(square(Image.fromarray(image))).transpose(2, 0, 1)
    np.testing.assert_array_equal(resized, VISION[f"resized_u8_{index}"])
    x = picture_input(torch.from_numpy(image).permute(2, 0, 1))
    assert x.shape == (3, 224, 224)
    patch = tensor(VISION, f"norm_patch_{index}")
    torch.testing.assert_close(x[:, 100:116, 100:116], patch, atol=1e-6, rtol=0)
    stats = torch.stack([x.mean(), x.std(), x.min(), x.max()])
    torch.testing.assert_close(stats, tensor(VISION, f"norm_stats_{index}"), atol=1e-5, rtol=0)


def test_a_picture_in_floats_gives_the_same_as_in_bytes() -> None:
    image = tensor(VISION, "image_1").permute(2, 0, 1)
    assert torch.equal(picture_input(image.float() / 255), picture_input(image))


def test_frames_and_crops_of_a_clip_equal_the_reference() -> None:
    frames = spread_frames(tensor(VISION, "video_in").transpose(0, 1))
    assert torch.equal(frames.transpose(0, 1), tensor(VISION, "video_subsampled"))
    squares = torch.stack(crops(short_side(frames, 48), 48, 3))
    torch.testing.assert_close(squares, tensor(VISION, "video_crops48"), atol=1e-6, rtol=0)


def test_crops_lie_along_the_longer_side() -> None:
    tall = torch.arange(10.0).view(1, 1, 10, 1).expand(3, 2, 10, 4)
    assert [c[0, 0, 0, 0].item() for c in crops(tall, 4, 3)] == [0, 3, 6]
    assert [c[0, 0, 0, 0].item() for c in crops(tall, 4, 1)] == [3]


def test_a_video_gives_clips_of_two_frames_from_its_two_seconds() -> None:
    frames = torch.arange(80, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 8, 12).contiguous()
    media = Media("video", frames, meta={"fps": 8.0})
    x = encoder(video_clips=5, video_crops=3).preprocess(media)
    assert x.shape == (15, 3, 2, 224, 224)
    shown = (x[::3, 0, :, 0, 0] * 0.26862954 + 0.48145466) * 255
    # Ten seconds at 8 per second: clips start at 0, 2, 4, 6, 8 s, hold 16 frames, of which first and last are kept.
    assert shown.round().tolist() == [[0, 15], [16, 31], [32, 47], [48, 63], [64, 79]]


def test_a_video_shorter_than_a_clip_repeats_it() -> None:
    media = Media("video", torch.rand(3, 3, 16, 16), meta={"fps": 4.0})
    x = encoder(video_clips=2, video_crops=1).preprocess(media)
    assert x.shape == (2, 3, 2, 224, 224)
    assert torch.equal(x[0], x[1])


@pytest.mark.parametrize(
    ("key", "seconds", "count"), [("5s", 5, 3), ("1p5s", 1.5, 3), ("7s_video5", 7, 5)], ids=lambda v: str(v)
)
def test_clips_lie_where_the_reference_puts_them(key: str, seconds: float, count: int) -> None:
    np.testing.assert_allclose(clip_spans(seconds, count), AUDIO[f"clip_timepoints_{key}"], atol=1e-12)


@pytest.mark.parametrize("key", WAVES)
def test_log_mel_equals_the_reference(key: str) -> None:
    wave, expected = tensor(AUDIO, key), tensor(AUDIO, f"mel_{key.split('_')[1]}")
    difference = (mel_picture(wave - wave.mean()) - expected).abs()
    assert difference.shape == (1, 128, 204)
    assert difference.mean() < 1e-4
    assert difference[expected > -12].max() < 1e-3
    assert difference.max() < 1e-2, "the reference itself is that far from float64 in its quietest bands"


def test_a_pure_tone_is_loudest_in_the_band_around_it() -> None:
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16000) / 16000)
    band = int(log_mel(tone).mean(0).argmax())
    mel = 1127 * np.log1p(np.array([20.0, 1000.0, 8000.0]) / 700)
    assert band == round((mel[1] - mel[0]) / (mel[2] - mel[0]) * 129 - 1)


def test_clips_of_a_long_sound_equal_the_reference() -> None:
    clips = sound_inputs(tensor(AUDIO, "long_wave").unsqueeze(0), 16000, 3)
    torch.testing.assert_close(clips, tensor(AUDIO, "long_clips"), atol=2e-4, rtol=0)


def test_preparing_leaves_the_sound_as_it_was() -> None:
    wave = tensor(AUDIO, "long_wave").unsqueeze(0) + 0.1
    before = wave.clone()
    sound_inputs(wave, 16000, 3)
    assert torch.equal(wave, before)


def test_resampling_equals_the_reference() -> None:
    resampled = resample(tensor(AUDIO, "wave44k"), 44100, 16000)
    torch.testing.assert_close(resampled, tensor(AUDIO, "resampled16k"), atol=1e-5, rtol=0)


def test_depth_becomes_standardised_disparity() -> None:
    camera = {"focal_length": 500.0, "baseline": 0.1}
    near_far = torch.tensor([2.0, 100.0]).repeat_interleave(200).expand(1, 300, 400)
    x = encoder().preprocess(Media("depth", near_far, meta=camera))
    assert x.shape == (1, 224, 224)
    expected = [(0.1 * 500 / metres - 0.0418) / 0.0295 for metres in (2.0, 50.0)]
    assert x[0, 0, [0, -1]].tolist() == pytest.approx(expected, rel=1e-4)
    assert torch.equal(encoder(camera=camera).preprocess(Media("depth", near_far)), x)


def test_a_heat_picture_stays_in_its_range() -> None:
    heat = torch.full((1, 300, 400), 51, dtype=torch.uint8)
    x = encoder().preprocess(Media("thermal", heat))
    torch.testing.assert_close(x, torch.full((1, 224, 224), 0.2))


def test_motion_of_2000_steps_is_passed_on_and_other_rates_are_brought_to_it() -> None:
    ready = torch.randn(6, 2000)
    assert torch.equal(encoder().preprocess(Media("imu", ready)), ready)
    ramp = torch.arange(3000.0).expand(6, -1)  # fifteen seconds at 200 Hz: the middle five run from 1000 to 1999
    x = encoder().preprocess(Media("imu", ramp, meta={"sample_rate": 200.0}))
    assert x.shape == (6, 2000)
    assert x[0, [0, 1000, -1]].tolist() == pytest.approx([1000, 1500, 1999], abs=0.5)
    short = encoder().preprocess(Media("imu", torch.ones(6, 500), meta={"sample_rate": 200.0}))
    assert short[0].mean().item() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("media", "says"),
    [
        (Media("image", torch.rand(1, 8, 8)), "(3, H, W)"),
        (Media("image", torch.full((3, 8, 8), torch.nan)), "finite"),
        (Media("video", torch.rand(3, 8, 8), meta={"fps": 8.0}), "(T, 3, H, W)"),
        (Media("video", torch.rand(4, 3, 8, 8)), "frame rate"),
        (Media("audio", torch.rand(2, 800), meta={"sample_rate": 16000.0}), "(1, T)"),
        (Media("audio", torch.rand(1, 8000)), "sample rate"),
        (Media("audio", torch.rand(1, 80), meta={"sample_rate": 16000.0}), "25 ms"),
        (Media("audio", torch.full((1, 800), torch.inf), meta={"sample_rate": 16000.0}), "infinite"),
        (Media("depth", torch.ones(1, 8, 8, dtype=torch.uint8)), "metres"),
        (Media("thermal", torch.rand(3, 8, 8)), "(1, H, W)"),
        (Media("imu", torch.rand(3, 2000)), "(6, T)"),
        (Media("text", torch.rand(77)), "UTF-8"),
        (Media("text", torch.tensor([255, 254], dtype=torch.uint8)), "UTF-8"),
    ],
    ids=lambda v: v.modality if isinstance(v, Media) else v,
)
def test_unfit_media_give_one_clear_error(media: Media, says: str) -> None:
    with pytest.raises(MediaError) as caught:
        encoder().preprocess(media)
    assert says in str(caught.value)


def test_a_modality_that_is_not_built_is_refused() -> None:
    with pytest.raises(ConfigError, match="no 'audio'"):
        encoder(modalities=["image"]).preprocess(Media("audio", torch.rand(1, 800), meta={"sample_rate": 16000.0}))


@pytest.mark.parametrize(("seconds", "remarked"), [(5.9, False), (6.0, False), (7.0, True), (600.0, True)])
def test_a_sound_of_which_a_part_is_not_heard_is_remarked_on(seconds: float, remarked: bool) -> None:
    """Three clips of two seconds hear six."""
    wave = torch.zeros(1, int(seconds * 8000))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        sound_inputs(wave, 8000, 3)
    assert [str(w.message) for w in said] == [
        "sounds are heard in 3 clips spread over them, for 6 s; a longer one is cut"
    ] * remarked
