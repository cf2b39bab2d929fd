"""Whatever a function of the metrics is given, it measures real numbers or says in one error what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from anyloom.errors import AnyloomError, ConfigError, MediaError
from anyloom_metrics.functional.alignment import image_alignment, text_image_alignment
from anyloom_metrics.functional.clip_score import clap_score, clip_score
from anyloom_metrics.functional.directional import edit_similarities
from anyloom_metrics.functional.divergence import paired_kl_divergence
from anyloom_metrics.functional.frechet import frechet_distance
from anyloom_metrics.functional.inception import inception_score
from anyloom_metrics.functional.kernel import kernel_distance, squared_mmd
from anyloom_metrics.functional.mel_picture import mel_picture, mel_psnr, mel_ssim
from anyloom_metrics.functional.precision_recall import precision_recall
from anyloom_metrics.functional.psnr import psnr
from anyloom_metrics.functional.retrieval import hit_rate_at, recall_at
from anyloom_metrics.functional.similarity import paired_cosine
from anyloom_metrics.functional.spectral import (
    log_spectral_distance,
    raw_log_spectral_distance,
    scale_invariant_spectral_ratio,
    spectral_ssim,
)
from anyloom_metrics.functional.ssim import ssim
from anyloom_metrics.functional.synchrony import audio_onsets, synchrony, video_onsets

MADE = torch.Generator().manual_seed(0)


def rows(count: int = 12, dim: int = 5) -> Tensor:
    return torch.randn(count, dim, generator=MADE)


def wave() -> Tensor:
    return 0.1 * torch.randn(16_000, generator=MADE)


def pictures(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=MADE)


SOUND = {"sample_rate": 16_000}
CALLS: dict[Callable[..., Any], tuple[list[Tensor], dict[str, Any]]] = {
    image_alignment: ([rows(), rows()], {}),
    text_image_alignment: ([rows(), rows()], {}),
    clap_score: ([rows(), rows()], {}),
    clip_score: ([rows(), rows()], {}),
    edit_similarities: ([rows() for _ in range(4)], {}),
    paired_kl_divergence: ([rows(), rows()], {}),
    paired_cosine: ([rows(), rows()], {}),
    frechet_distance: ([rows(), rows()], {}),
    squared_mmd: ([rows(), rows()], {}),
    precision_recall: ([rows(), rows()], {"neighbours": 3}),
    inception_score: ([rows()], {"splits": 2}),
    kernel_distance: ([rows(), rows()], {"subsets": 2, "subset_size": 8}),
    recall_at: ([rows(5), torch.eye(5).bool()], {"k": 2}),
    hit_rate_at: ([rows(5), torch.eye(5).bool()], {"k": 2}),
    psnr: ([pictures(2, 3, 32, 32), pictures(2, 3, 32, 32)], {"data_range": 1.0}),
    ssim: ([pictures(2, 3, 32, 32), pictures(2, 3, 32, 32)], {"data_range": 1.0}),
    mel_picture: ([wave()], {}),
    mel_psnr: ([pictures(64, 40), pictures(64, 40)], {}),
    mel_ssim: ([pictures(64, 40), pictures(64, 40)], {}),
    log_spectral_distance: ([wave(), wave()], SOUND),
    raw_log_spectral_distance: ([wave(), wave()], SOUND),
    scale_invariant_spectral_ratio: ([wave(), wave()], SOUND),
    spectral_ssim: ([wave(), wave()], SOUND),
    audio_onsets: ([wave()], {**SOUND, "rate": 25.0, "steps": 25}),
    video_onsets: ([pictures(25, 3, 8, 8)], {"fps": 25.0, "rate": 25.0, "steps": 25}),
    synchrony: ([pictures(50), pictures(50)], {"rate": 25.0}),
}
WRONG: dict[str, Callable[[Tensor], Any]] = {
    "an array": lambda x: x.numpy(),
    "a list": lambda x: x.tolist(),
    "nothing": lambda x: None,
    "a name": lambda x: "a.png",
    "a picture of Pillow": lambda x: Image.new("RGB", (8, 8)),
    "complex numbers": lambda x: x.to(torch.complex64),
    "NaN": lambda x: x.float() * torch.nan,
    "infinity": lambda x: x.float().flatten().index_fill(0, torch.tensor([1]), torch.inf).reshape(x.shape),
    "no samples": lambda x: x[:0],
    "one more axis": lambda x: x[None],
    "no axis": lambda x: x.flatten()[0],
}
NUMBERS = [
    (0, ConfigError),
    (-1, ConfigError),
    (float("nan"), ConfigError),
    (None, ConfigError),
    ("16000", ConfigError),
    (True, ConfigError),
]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("function", CALLS, ids=lambda function: function.__name__)
def test_what_cannot_be_measured_is_one_clear_error(function: Callable[..., Any], wrong: str) -> None:
    given, options = CALLS[function]
    function(*given, **options)
    for place in range(len(given)):
        bad = [WRONG[wrong](one) if n == place else one for n, one in enumerate(given)]
        with pytest.raises(AnyloomError):
            function(*bad, **options)


@pytest.mark.parametrize("function", [f for f in CALLS if CALLS[f][1]], ids=lambda function: function.__name__)
def test_numbers_that_mean_nothing_are_refused(function: Callable[..., Any]) -> None:
    given, options = CALLS[function]
    for name in options:
        for number, error in NUMBERS:
            with pytest.raises(error, match=name):
                function(*given, **{**options, name: number})
    whole = {name: np.int64(value) if isinstance(value, int) else np.float64(value) for name, value in options.items()}
    function(*given, **whole)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("function", [precision_recall, log_spectral_distance, spectral_ssim, synchrony])
def test_precisions_may_differ(function: Callable[..., Any], dtype: torch.dtype) -> None:
    (first, second), options = CALLS[function]
    rounded = first.to(dtype)
    got, wanted = (torch.as_tensor(function(one, second, **options)) for one in (rounded, rounded.float()))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5, check_dtype=False)


def test_mel_pictures_of_other_bands_do_not_pair() -> None:
    """One band would be compared with each of the other's 64."""
    for function in (mel_psnr, mel_ssim):
        with pytest.raises(MediaError, match="1 and 64 bands"):
            function(pictures(1, 40), pictures(64, 40))
    with pytest.raises(MediaError, match="window of 7"):
        mel_ssim(pictures(64, 6), pictures(64, 6))
