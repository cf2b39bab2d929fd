"""Log-mel spectrograms and the way back to magnitudes, in a few lines of torch.

Mel scales: ``slaney`` is linear below 1 kHz and logarithmic above, with filters of equal area (Slaney's Auditory
Toolbox; librosa's default; what HiFi-GAN vocoders use). ``htk`` is ``2595 log10(1 + f / 700)`` with filters
of equal height (the HTK book).
"""

from __future__ import annotations

import functools
import math
from typing import Literal

import torch
from torch import Tensor

__all__ = ["MelScale", "mel_filters", "mel_inverse", "mel_to_magnitude", "spectrogram"]

MelScale = Literal["slaney", "htk"]
_BREAK_HZ, _BREAK_MEL, _STEP = 1000.0, 15.0, math.log(6.4) / 27


def _to_mel(hz: float, scale: MelScale) -> float:
    if scale == "htk":
        return 2595.0 * math.log10(1 + hz / 700.0)
    return hz * 3 / 200 if hz < _BREAK_HZ else _BREAK_MEL + math.log(hz / _BREAK_HZ) / _STEP


def _to_hz(mel: Tensor, scale: MelScale) -> Tensor:
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1)
    return torch.where(mel < _BREAK_MEL, mel * 200 / 3, _BREAK_HZ * torch.exp(_STEP * (mel - _BREAK_MEL)))


@functools.lru_cache(maxsize=8)
def mel_filters(
    num_mels: int,
    fft_size: int,
    sample_rate: int,
    low: float = 0.0,
    high: float | None = None,
    scale: MelScale = "slaney",
) -> Tensor:
    """Triangular filters ``(num_mels, fft_size // 2 + 1)`` over the bins of a spectrum.

    Args:
        num_mels: Number of bands.
        fft_size: Samples per transform.
        sample_rate: Samples per second.
        low: Lower edge of the first band, in Hz.
        high: Upper edge of the last band, in Hz; by default half the sample rate.
        scale: Mel scale; see the module.

    >>> filters = mel_filters(num_mels=4, fft_size=64, sample_rate=8000)
    >>> filters.shape
    torch.Size([4, 33])
    """
    with torch.device("cpu"):
        edges = torch.linspace(
            _to_mel(low, scale), _to_mel(high or sample_rate / 2, scale), num_mels + 2, dtype=torch.float64
        )
        hz = _to_hz(edges, scale)
        bins = torch.linspace(0, sample_rate / 2, fft_size // 2 + 1, dtype=torch.float64)
        rising = (bins - hz[:-2, None]) / (hz[1:-1] - hz[:-2])[:, None]
        falling = (hz[2:, None] - bins) / (hz[2:] - hz[1:-1])[:, None]
        filters = torch.minimum(rising, falling).clamp(min=0)
        if scale == "slaney":
            filters = filters * (2 / (hz[2:] - hz[:-2]))[:, None]
        return filters.float()


def spectrogram(wave: Tensor, fft_size: int, hop: int) -> Tensor:
    """Complex short-time spectrum ``(..., F, T // hop + 1)`` of waves ``(..., T)``: Hann window, centred, reflected.

    >>> tone = torch.sin(torch.arange(256) * 2 * torch.pi * 8 / 64)  # 8 periods in 64 samples
    >>> spectrogram(tone, fft_size=64, hop=32).abs().mean(-1).argmax().item()
    8
    """
    window = torch.hann_window(fft_size, device=wave.device, dtype=wave.dtype)
    spectrum: Tensor = torch.stft(
        wave, fft_size, hop, window=window, center=True, pad_mode="reflect", return_complex=True
    )
    return spectrum


@functools.lru_cache(maxsize=8)
def mel_inverse(
    num_mels: int,
    fft_size: int,
    sample_rate: int,
    low: float = 0.0,
    high: float | None = None,
    scale: MelScale = "slaney",
) -> Tensor:
    """Pseudo-inverse ``(fft_size // 2 + 1, num_mels)`` of :func:`mel_filters`, on the CPU; computed once and kept.

    >>> sizes = {"num_mels": 4, "fft_size": 64, "sample_rate": 8000}
    >>> torch.allclose(mel_filters(**sizes) @ mel_inverse(**sizes), torch.eye(4), atol=1e-5)
    True
    """
    inverse: Tensor = torch.linalg.pinv(mel_filters(num_mels, fft_size, sample_rate, low, high, scale))
    return inverse


def mel_to_magnitude(mel: Tensor, filters: Tensor, steps: int = 30, *, inverse: Tensor | None = None) -> Tensor:
    """Non-negative magnitudes ``(F, T)`` whose mel spectrum is close to ``mel`` ``(M, T)``.

    Starts at the pseudo-inverse, negative values cut, and improves it by multiplicative updates, which keep
    values non-negative (Lee and Seung, 2001).

    Args:
        mel: Not negative.
        filters: Of :func:`mel_filters`, ``(M, F)``.
        steps: Updates.
        inverse: Of :func:`mel_inverse`, ``(F, M)``; computed where it is not given, which takes a fifth as long again.

    >>> filters = mel_filters(num_mels=8, fft_size=64, sample_rate=8000)
    >>> mel = filters @ torch.ones(33, 5)
    >>> close = filters @ mel_to_magnitude(mel, filters)
    >>> torch.allclose(close, mel, rtol=0.01)
    True
    """
    magnitude: Tensor = ((torch.linalg.pinv(filters) if inverse is None else inverse) @ mel).clamp(min=1e-8)
    goal = filters.T @ mel
    for _ in range(steps):
        magnitude = magnitude * goal / (filters.T @ (filters @ magnitude)).clamp(min=1e-10)
    return magnitude
