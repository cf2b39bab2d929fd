"""Griffin-Lim: equal to the same iteration written with torch's own transforms, seeded, and better with each step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from anyloom.signal.griffin_lim import _Transform, griffin_lim
from anyloom.signal.mel import spectrogram


def tone(hertz: float, seconds: float = 0.5, rate: int = 16000) -> Tensor:
    return torch.sin(2 * torch.pi * hertz * torch.arange(int(seconds * rate)) / rate)


def by_torch(magnitude: Tensor, fft_size: int, hop: int, length: int, seed: int, steps: int, momentum: float) -> Tensor:
    """The published iteration (algorithm 2 of Perraudin et al.), with ``torch.stft`` and ``torch.istft``."""
    window = torch.hann_window(fft_size, dtype=magnitude.dtype)
    phases = torch.rand(magnitude.shape, generator=torch.Generator().manual_seed(seed)).to(magnitude)
    angles = torch.exp(2j * math.pi * phases)
    before = torch.zeros_like(angles)
    for _ in range(steps):
        wave = torch.istft(magnitude * angles, fft_size, hop, window=window, length=length)
        rebuilt = torch.stft(wave, fft_size, hop, window=window, return_complex=True)
        angles = rebuilt - momentum / (1 + momentum) * before
        angles = angles / angles.abs().clamp(min=1e-16)
        before = rebuilt
    return torch.istft(magnitude * angles, fft_size, hop, window=window, length=length)


@pytest.mark.parametrize("momentum", [0.0, 0.99])
@pytest.mark.parametrize(
    ("fft_size", "hop", "length"),
    [(1024, 320, 40960), (1024, 160, 8000), (256, 64, 1600), (256, 100, 1650), (63, 20, 400), (64, 32, 320)],
)
def test_equals_torch_s_transforms(fft_size: int, hop: int, length: int, momentum: float) -> None:
    """In double precision: in single precision both drift apart by rounding, which the iteration makes larger."""
    wave = tone(440.0, length / 16000).double() + 0.05 * torch.randn(length, dtype=torch.float64)
    magnitude = spectrogram(wave, fft_size, hop).abs()
    found = griffin_lim(magnitude, fft_size, hop, length=length, seed=3, momentum=momentum)
    expected = by_torch(magnitude, fft_size, hop, length, 3, 32, momentum)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)


def test_the_spectrum_of_noise_is_inverted_exactly() -> None:
    """The wave of a spectrum that a wave has is that wave."""
    wave = torch.randn(4000)
    spectrum = spectrogram(wave, 512, 128)
    transform = _Transform(512, 128, 4000, spectrum.abs())
    torch.testing.assert_close(transform.spectrum(wave).mT, spectrum, rtol=0, atol=1e-4)
    torch.testing.assert_close(transform.waveform(spectrum.mT), wave, rtol=0, atol=1e-5)


def test_single_precision_is_as_good() -> None:
    wave = tone(440.0) + tone(1320.0) * 0.2 + 0.05 * torch.randn(8000)
    magnitude = spectrogram(wave, 1024, 160).abs()

    def error(found: Tensor) -> float:
        return float((spectrogram(found, 1024, 160).abs() - magnitude).norm() / magnitude.norm())

    ours, theirs = griffin_lim(magnitude, 1024, 160, length=8000), by_torch(magnitude, 1024, 160, 8000, 0, 32, 0.99)
    assert error(ours) == pytest.approx(error(theirs), rel=0.01)


def test_finds_a_wave_of_these_magnitudes() -> None:
    wave = tone(440.0) + tone(1320.0) * 0.2
    magnitude = spectrogram(wave, 1024, 160).abs()

    def error(steps: int) -> float:
        found = griffin_lim(magnitude, 1024, 160, length=len(wave), steps=steps)
        return float((spectrogram(found, 1024, 160).abs() - magnitude).norm() / magnitude.norm())

    assert error(32) < min(0.2, error(2))


def test_silence_stays_silence() -> None:
    assert griffin_lim(torch.zeros(129, 26), 256, 64, length=1600).abs().max() == 0


def test_is_seeded() -> None:
    magnitude = spectrogram(tone(440.0, 0.1), 256, 64).abs()
    first, again, other = (griffin_lim(magnitude, 256, 64, length=1600, seed=s, steps=4) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
