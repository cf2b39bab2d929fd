"""Metrics of sounds, pictures and clips against the golden files and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from anyloom.errors import MediaError
from anyloom_metrics import functional as F
from anyloom_metrics.functional.spectral import _power
from anyloom_metrics.preparation import pictures
from metric_golden import golden


def waves() -> tuple[torch.Tensor, torch.Tensor, dict]:
    g = golden("audioldm_lsd")
    return g["gen_pcm16"].float() / 32768, g["ref_pcm16"].float() / 32768, g


def test_log_spectral_distance_equals_audioldm_lsd() -> None:
    """audioldm_lsd.npz: 1e-5."""
    made, real, g = waves()
    raw = [float(F.raw_log_spectral_distance(a, b, sample_rate=16000)) for a, b in zip(made, real)]
    assert raw == pytest.approx(g["lsd_raw"].tolist(), abs=1e-5)
    for offset in (0, 1120):
        found = [float(F.log_spectral_distance(a, b, sample_rate=16000, offset=offset)) for a, b in zip(made, real)]
        assert sum(found) / 2 == pytest.approx(g[f"lsd_helper_offset{offset}"], abs=1e-5)
    holed = made[1].clone()
    start, stop = g["gen_pcm16_silent_pair1_slice"].tolist()
    holed[start:stop] = 0
    found = float(F.raw_log_spectral_distance(holed, real[1], sample_rate=16000))
    assert found == pytest.approx(g["lsd_raw_with_silence"], abs=1e-5)


def test_spectrograms_and_what_ssr_eval_takes_of_them_equal_audioldm_lsd() -> None:
    """audioldm_lsd.npz, ssim, sispec, log_sispec and the spectrum itself: 1e-5."""
    made, real, g = waves()
    frames = _power(made[0], g["sample_rate"]).sqrt().mT
    assert list(frames.shape) == g["stft_shape"].tolist()
    torch.testing.assert_close(frames[:5], g["stft_abs_first5frames"], atol=1e-5, rtol=0)
    pairs = [(a.double(), b.double()) for a, b in zip(made, real)]
    rate = {"sample_rate": g["sample_rate"]}
    found = {
        "ssim_raw": [F.spectral_ssim(*pair, **rate) for pair in pairs],
        "sispec_raw": [F.scale_invariant_spectral_ratio(*pair, **rate) for pair in pairs],
        "log_sispec_raw": [F.scale_invariant_spectral_ratio(*pair, **rate, log=True) for pair in pairs],
    }
    for name, values in found.items():
        assert [float(v) for v in values] == pytest.approx(g[name].tolist(), abs=1e-5), name
    for offset in (0, 1120):
        mean = sum(float(F.spectral_ssim(*F.aligned_waves(*pair, offset=offset), **rate)) for pair in pairs) / 2
        assert mean == pytest.approx(g[f"ssim_stft_helper_offset{offset}"], abs=1e-5)


@pytest.mark.parametrize(
    ("wave", "said"),
    [
        (torch.zeros(16000), "silent"),
        (torch.full((16000,), 0.25), "silent"),
        (1e-6 * torch.ones(16000).cumsum(0).sin(), "silent"),
        (torch.full((16000,), math.nan), "NaN"),
        (torch.zeros(0), "expected a float wave"),
        (torch.zeros(1, 16000), "expected a float wave"),
        (torch.zeros(16000, dtype=torch.int16), "expected a float wave"),
    ],
)
def test_silent_and_broken_sounds_have_no_distance(wave: torch.Tensor, said: str) -> None:
    sound = torch.randn(16000)
    for pair in ((wave, sound), (sound, wave)):
        with pytest.raises(MediaError, match=said):
            F.log_spectral_distance(*pair, sample_rate=16000)


def test_gain_and_rest_position_do_not_count_in_the_distance() -> None:
    sound, other = torch.randn(2, 16000).clamp(-3, 3) * 0.1
    expected = float(F.log_spectral_distance(sound, other, sample_rate=16000))
    moved = float(F.log_spectral_distance(0.3 * sound + 0.2, other, sample_rate=16000))
    assert moved == pytest.approx(expected, abs=1e-4)


def test_mel_pictures_equal_audioldm_mel() -> None:
    """audioldm_mel.npz: mel 1e-5, PSNR 1e-3, SSIM 1e-4."""
    made, real, _ = waves()
    g = golden("audioldm_mel")
    pairs = [(F.mel_picture(a), F.mel_picture(b)) for a, b in zip(made, real)]
    for i, (a, b) in enumerate(pairs):
        torch.testing.assert_close(a.float(), g["mel_gen"][i], atol=1e-5, rtol=0)
        torch.testing.assert_close(b.float(), g["mel_ref"][i], atol=1e-5, rtol=0)
    assert sum(float(F.mel_psnr(*p)) for p in pairs) / 2 == pytest.approx(g["psnr_mean_two_pairs"], abs=1e-3)
    assert sum(float(F.mel_ssim(*p)) for p in pairs) / 2 == pytest.approx(g["ssim_mean_two_pairs"], abs=1e-4)


def test_ssim_and_psnr_equal_torchmetrics_and_scikit_image() -> None:
    """ssim_psnr.npz: 1e-5."""
    g = golden("ssim_psnr")
    pred, ref = g["pred_uint8"].double() / 255, g["ref_uint8"].double() / 255
    forms = {
        "ssim_torchmetrics": F.ssim(pred, ref, data_range=1.0),
        "ssim_skimage_gaussian": F.ssim(pred, ref, data_range=1.0, border="crop"),
        "ssim_skimage_default_win7": F.ssim(
            g["pred_uint8"], g["ref_uint8"], data_range=255.0, window="uniform", border="crop"
        ),
    }
    for name, found in forms.items():
        assert found.tolist() == pytest.approx(g[name].tolist(), abs=1e-5), name
    assert F.psnr(pred, ref, data_range=1.0).tolist() == pytest.approx(g["psnr_skimage_per"].tolist(), abs=1e-5)
    bytes_ = F.psnr(g["pred_uint8"], g["ref_uint8"], data_range=255)
    assert bytes_.tolist() == pytest.approx(g["psnr_skimage_per"].tolist(), abs=1e-5)


def test_ssim_equals_torchmetrics_on_other_pictures() -> None:
    pred, target = torch.rand(2, 2, 3, 20, 31).double()
    expected = structural_similarity_index_measure(pred, target, data_range=1.0, reduction="none")
    torch.testing.assert_close(F.ssim(pred, target, data_range=1.0), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("picture", "data_range", "said"),
    [
        (255 * torch.rand(1, 3, 16, 16), 1.0, "outside 0..1"),
        (2 * torch.rand(1, 3, 16, 16) - 1, 1.0, "outside 0..1"),
        (torch.full((1, 3, 16, 16), math.nan), 1.0, "outside 0..1"),
        (torch.ones(1, 3, 16, 16, dtype=torch.uint8), 1.0, "range 255"),
        (torch.rand(3, 16, 16), 1.0, "shapes"),
    ],
)
def test_pictures_out_of_range_have_no_number(picture: torch.Tensor, data_range: float, said: str) -> None:
    for measure in (F.psnr, F.ssim):
        with pytest.raises(MediaError, match=said):
            measure(picture, picture, data_range=data_range)


def test_lpips_formula_equals_lpips() -> None:
    """lpips.npz, feature_formula: 1e-5."""
    g = golden("lpips")
    found = F.lpips_distance(*([g[f"{side}{i}"] for i in range(3)] for side in ("fa", "fb", "w")))
    torch.testing.assert_close(found[0].double(), g["feature_formula_per_layer"], atol=1e-5, rtol=0)
    assert float(found.sum()) == pytest.approx(g["feature_formula_total"], abs=1e-5)


def picture_of(g: dict) -> torch.Tensor:
    return g["image_uint8"].permute(2, 0, 1)


def test_squares_equal_torchvision_and_transformers() -> None:
    """preprocess_torchvision_pil.npz and clip_preprocess_pil.npz: 1e-6."""
    g = golden("preprocess_torchvision_pil")
    dino = pictures.square(picture_of(g), short_side=256, size=224)
    dino = pictures.normalised(dino, pictures.IMAGENET_MEAN, pictures.IMAGENET_STD)
    torch.testing.assert_close(dino[:, ::6, ::6], g["dino_stride6"], atol=1e-6, rtol=0)
    for file, stride, key in (
        ("preprocess_torchvision_pil", 6, "clip_stride6"),
        ("clip_preprocess_pil", 5, "clip_pixel_values_stride5"),
    ):
        g = golden(file)
        clip = pictures.square(picture_of(g), short_side=224, size=224)
        clip = pictures.normalised(clip, pictures.CLIP_MEAN, pictures.CLIP_STD)
        torch.testing.assert_close(clip[:, ::stride, ::stride], g[key], atol=1e-6, rtol=0)


def test_fid_sizes_equal_clean_fid_and_torch_fidelity() -> None:
    """fid_resize_299.npz: 1e-4."""
    g = golden("fid_resize_299")
    clean = pictures.clean_299(picture_of(g))[:, ::7, ::7].permute(1, 2, 0)
    torch.testing.assert_close(clean, g["cleanfid_clean_stride7"], atol=1e-4, rtol=0)
    tensorflow = pictures.tensorflow_299(picture_of(g))[:, ::7, ::7]
    torch.testing.assert_close(tensorflow, g["tf1x_bilinear_stride7"], atol=1e-4, rtol=0)


def test_directional_squares_equal_instruct_pix2pix() -> None:
    """ip2p_directional.npz, preprocessed_stride7: 1e-6."""
    g = golden("ip2p_directional")
    found = pictures.directional_square(g["images_01"])[:, :, ::7, ::7]
    torch.testing.assert_close(found, g["preprocessed_stride7"], atol=1e-6, rtol=0)


def flash_and_beep(flash: float, beep: float, *, fps: int = 25, sample_rate: int = 16000) -> tuple[torch.Tensor, ...]:
    """Two seconds with one bright frame and one beep of a tenth of a second."""
    frames = torch.zeros(2 * fps, 3, 4, 4)
    frames[round(flash * fps)] = 1.0
    time = torch.arange(2 * sample_rate) / sample_rate
    wave = torch.where((time >= beep) & (time < beep + 0.1), torch.sin(2 * math.pi * 440 * time), 0.0)
    return frames, wave


@pytest.mark.parametrize("fps", [10, 25, 30])
@pytest.mark.parametrize("late", [-0.4, 0.0, 0.2, 0.8])
def test_the_offset_of_flash_and_beep_is_found(late: float, fps: int) -> None:
    frames, wave = flash_and_beep(1.0, 1.0 + late, fps=fps)
    curves = (
        F.audio_onsets(wave, sample_rate=16000, rate=fps, steps=2 * fps),
        F.video_onsets(frames, fps=fps, rate=fps, steps=2 * fps),
    )
    found = F.synchrony(*curves, rate=fps)
    assert found.offset == pytest.approx(late, abs=1 / fps)
    assert found.correlation > 0.6
    assert (found.score > 0.6) == (late == 0)


def test_still_clips_and_silent_sounds_have_no_offset() -> None:
    frames, wave = flash_and_beep(1.0, 1.0)
    with pytest.raises(MediaError, match="silent"):
        F.audio_onsets(0 * wave, sample_rate=16000, rate=25, steps=50)
    with pytest.raises(MediaError, match="nothing moves"):
        F.video_onsets(0 * frames, fps=25, rate=25, steps=50)
