"""Sounds as log-mel pictures, for the picture metrics of audioldm_eval."""

from __future__ import annotations

import torch
from torch import Tensor

from anyloom.errors import MediaError
from anyloom.signal.mel import mel_filters, spectrogram
from anyloom_metrics.functional.checks import require_tensor, require_wave
from anyloom_metrics.functional.ssim import ssim_map

__all__ = ["mel_picture", "mel_psnr", "mel_ssim"]

_WINDOW = 7
_SIZE, _HOP, _BANDS, _LOW, _HIGH, _FLOOR = 512, 160, 64, 50, 8000, 1e-5


def mel_picture(wave: Tensor) -> Tensor:
    """Log-mel picture ``(64, T // 160 + 1)`` in 0..1 of a wave ``(T,)`` at 16 kHz; 0 is -100 dB or less.

    Raises:
        anyloom.errors.MediaError: It is no wave or holds NaN.

    >>> mel_picture(torch.zeros(16_000)).shape
    torch.Size([64, 101])
    """
    sound = require_wave(wave, name="wave")
    if len(sound) <= _SIZE // 2:
        raise MediaError(f"{len(sound)} samples are no more than half a window of {_SIZE}", where="wave")
    magnitude = spectrogram(sound.double(), _SIZE, _HOP).abs()
    bands = mel_filters(_BANDS, _SIZE, 16000, _LOW, _HIGH).double() @ magnitude
    decibels = 20 * bands.clamp(min=_FLOOR).log10() - 20
    return ((decibels + 100) / 100).clamp(0, 1)


def mel_psnr(generated: Tensor, reference: Tensor) -> Tensor:
    """PSNR in dB of two mel pictures ``(64, L)``, range 1; higher is better.

    Raises:
        anyloom.errors.MediaError: They are of other bands, or hold NaN.

    >>> round(float(mel_psnr(torch.zeros(64, 8), torch.full((64, 8), 0.1))), 3)
    20.0
    """
    made, real = _cut(generated, reference)
    return -10 * (made - real).square().mean().log10()


def mel_ssim(generated: Tensor, reference: Tensor) -> Tensor:
    """SSIM of two mel pictures ``(64, L)`` as audioldm_eval calls scikit-image; higher is better.

    Uniform window of 7, and as range the span of the values of both pictures, not 1.

    Raises:
        anyloom.errors.MediaError: They are of other bands, smaller than the window, or hold NaN.

    >>> picture = torch.linspace(0, 1, 64 * 8).reshape(64, 8)
    >>> round(float(mel_ssim(picture, picture)), 6)
    1.0
    """
    made, real = _cut(generated, reference)
    if min(made.shape) < _WINDOW:
        raise MediaError(f"a window of {_WINDOW} is larger than pictures {tuple(made.shape)}", fix="give longer sounds")
    span = float(torch.maximum(made.max(), real.max()) - torch.minimum(made.min(), real.min()))
    return ssim_map(made[None, None], real[None, None], data_range=span, window="uniform", border="crop").mean()


def _cut(generated: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    for name, picture in (("generated", generated), ("reference", reference)):
        if require_tensor(picture, name=name).ndim != 2 or 0 in picture.shape:
            raise MediaError(f"expected a mel picture (bands, frames), got {tuple(picture.shape)}", where=name)
        if not bool(picture.isfinite().all()):
            raise MediaError("the mel picture holds NaN or infinite values", where=name)
    if len(generated) != len(reference):  # one band would be compared with each of the other's
        raise MediaError(f"mel pictures of {len(generated)} and {len(reference)} bands do not pair")
    length = min(generated.shape[-1], reference.shape[-1])
    return generated[:, :length].double(), reference[:, :length].double()
