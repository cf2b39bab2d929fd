"""Spectra of a generated sound and of its reference, compared in the ways that papers about sound print."""

from __future__ import annotations

import torch
from torch import Tensor

from anyloom.errors import MediaError
from anyloom_metrics.functional.checks import require_number, require_sounding, require_wave
from anyloom_metrics.functional.ssim import ssim_map

__all__ = [
    "aligned_waves",
    "log_spectral_distance",
    "raw_log_spectral_distance",
    "scale_invariant_spectral_ratio",
    "spectral_ssim",
]

_FLOOR = 1e-12


def log_spectral_distance(generated: Tensor, reference: Tensor, *, sample_rate: int, offset: int = 0) -> Tensor:
    """Log-spectral distance as audioldm_eval measures it; lower is better.

    That is :func:`raw_log_spectral_distance` of :func:`aligned_waves`.

    Args:
        generated: Wave ``(T,)``.
        reference: Wave ``(T',)``.
        sample_rate: Of both, in Hz.
        offset: See :func:`aligned_waves`.

    Returns:
        A scalar in decades of power: 1 is 10 dB at every frequency.

    Raises:
        anyloom.errors.MediaError: A sound is silent, holds NaN, or nothing is left of it after the offset.

    >>> wave = torch.sin(torch.arange(16000) * 0.1)
    >>> round(float(log_spectral_distance(wave, wave, sample_rate=16000)), 4)
    0.0
    """
    made, real = aligned_waves(generated, reference, offset=offset)
    return raw_log_spectral_distance(made, real, sample_rate=sample_rate)


def aligned_waves(generated: Tensor, reference: Tensor, *, offset: int = 0) -> tuple[Tensor, Tensor]:
    """Both waves ``(T,)`` as audioldm_eval compares them: without mean, with a peak of 1, as long as the shorter one.

    Args:
        generated: Wave ``(T,)``.
        reference: Wave ``(T',)``.
        offset: Samples by which the generated sound is late, which are cut off; audioldm_eval assumes 1120, a delay of
            its own vocoder, which misaligns every other decoder.

    Raises:
        anyloom.errors.MediaError: A sound is silent, holds NaN, or nothing is left of it after the offset.

    >>> made, real = aligned_waves(torch.tensor([0.0, 4.0, 0.0, 4.0]), torch.tensor([0.0, 1.0]))
    >>> made, real
    (tensor([-1.,  1.]), tensor([-1.,  1.]))
    """
    generated, reference = require_wave(generated, name="generated"), require_wave(reference, name="reference")
    if len(generated) <= offset:
        raise MediaError(f"{len(generated)} samples are not more than the offset {offset}", where="generated")
    made, real = (
        require_sounding(wave, name=name)
        for wave, name in ((generated[offset:], "generated"), (reference, "reference"))
    )
    length = min(len(made), len(real))
    return made[:length] / made.abs().max(), real[:length] / real.abs().max()


def raw_log_spectral_distance(generated: Tensor, reference: Tensor, *, sample_rate: int) -> Tensor:
    """Mean over frames of the root mean square over frequencies of ``log10(reference power / generated power)``.

    Waves are taken as they are: a louder copy has a distance. After ssr_eval 0.0.7 (``AudioMetrics.lsd``): Hann
    window of 2048 samples at 44.1 kHz (743 at 16 kHz), hop of 10 ms, centred frames filled up with zeros.

    Args:
        generated: Wave ``(T,)``.
        reference: Wave ``(T,)``.
        sample_rate: Of both, in Hz.

    Returns:
        A scalar.

    Raises:
        anyloom.errors.MediaError: The lengths differ or a wave holds NaN.

    >>> wave = torch.randn(16000, generator=torch.Generator().manual_seed(0))
    >>> round(float(raw_log_spectral_distance(wave / 10, wave, sample_rate=16000)), 3)
    2.0
    """
    made, real = _powers(generated, reference, sample_rate)
    # the floors stand where the reference implementation has them, so that near-silent bins agree too
    difference = (real / (made.sqrt() + _FLOOR).square() + _FLOOR).log10()
    return difference.square().mean(0).sqrt().mean()


def spectral_ssim(generated: Tensor, reference: Tensor, *, sample_rate: int) -> Tensor:
    """SSIM of the two magnitude spectrograms as ssr_eval 0.0.7 takes it; higher is better, 1 for equal sounds.

    Uniform window of 7, borders left out, and as range the span of the values of both spectrograms. audioldm_eval's
    number is that of :func:`aligned_waves`.

    Args:
        generated: Wave ``(T,)``.
        reference: Wave ``(T,)``.
        sample_rate: Of both, in Hz.

    Raises:
        anyloom.errors.MediaError: The lengths differ or a wave holds NaN.

    >>> wave = torch.sin(torch.arange(16_000) / 10)
    >>> round(float(spectral_ssim(wave, wave, sample_rate=16_000)), 6)
    1.0
    """
    made, real = (power.double().sqrt() for power in _powers(generated, reference, sample_rate))
    span = float(torch.maximum(made.max(), real.max()) - torch.minimum(made.min(), real.min()))
    return ssim_map(made[None, None], real[None, None], data_range=span, window="uniform", border="crop").mean()


def scale_invariant_spectral_ratio(
    generated: Tensor, reference: Tensor, *, sample_rate: int, log: bool = False
) -> Tensor:
    """How much of the generated spectrogram is the reference's, in dB; higher is better ("SiSpec").

    The generated magnitudes are projected on the reference's; the ratio is the energy of the projection over that of
    the rest. After ssr_eval 0.0.7 (``AudioMetrics.sispec``).

    Args:
        generated: Wave ``(T,)``.
        reference: Wave ``(T,)``.
        sample_rate: Of both, in Hz.
        log: Compare log10 magnitudes, with a floor at 1e-12, instead of magnitudes.

    Raises:
        anyloom.errors.MediaError: The lengths differ or a wave holds NaN.

    >>> noise = torch.randn(2, 16000, generator=torch.Generator().manual_seed(0))
    >>> quiet, loud = (scale_invariant_spectral_ratio(g * noise[0], noise[1], sample_rate=16000) for g in (0.1, 2.0))
    >>> bool((quiet - loud).abs() < 1e-3)
    True
    """
    made, real = (power.double().sqrt() for power in _powers(generated, reference, sample_rate))
    if log:
        made, real = (magnitude.clamp(min=_FLOOR).log10() for magnitude in (made, real))
    wanted = (made * real).sum() * real / (real.square().sum() + _FLOOR)
    rest = (made - wanted).square().sum()
    return 10 * (wanted.square().sum() / (rest + _FLOOR) + _FLOOR).log10()


def _powers(generated: Tensor, reference: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
    """Power ``(F, frames)`` of both waves, which must be of one length."""
    require_number(sample_rate, name="sample_rate", least=100)  # a hop is 10 ms
    generated, reference = require_wave(generated, name="generated"), require_wave(reference, name="reference")
    if len(generated) != len(reference):
        raise MediaError(f"{len(generated)} and {len(reference)} samples do not pair", fix="cut both to one length")
    return _power(generated, sample_rate), _power(reference, sample_rate)


def _power(wave: Tensor, sample_rate: int) -> Tensor:
    """Power ``(F, frames)``."""
    size, hop = int(2048 / (44100 / sample_rate)), int(sample_rate / 100)
    spectrum = torch.stft(
        wave,
        size,
        hop,
        window=torch.hann_window(size, dtype=wave.dtype, device=wave.device),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return spectrum.abs().square()
