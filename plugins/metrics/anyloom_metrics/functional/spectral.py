"""Log-spectral distance between a generated sound and its reference."""

from __future__ import annotations

import torch
from torch import Tensor

from anyloom.errors import MediaError
from anyloom_metrics.functional.checks import require_sounding, require_wave

__all__ = ["log_spectral_distance", "raw_log_spectral_distance"]

_FLOOR = 1e-12


def log_spectral_distance(generated: Tensor, reference: Tensor, *, sample_rate: int, offset: int = 0) -> Tensor:
    """Log-spectral distance as audioldm_eval measures it; lower is better.

    The offset is cut off the generated sound, both lose their mean, are scaled to a peak of 1 and cut to the shorter
    one; then :func:`raw_log_spectral_distance`.

    Args:
        generated: Wave ``(T,)``.
        reference: Wave ``(T',)``.
        sample_rate: Of both, in Hz.
        offset: Samples by which the generated sound is late; audioldm_eval assumes 1120, a delay of its own vocoder,
            which misaligns every other decoder.

    Returns:
        A scalar in decades of power: 1 is 10 dB at every frequency.

    Raises:
        anyloom.errors.MediaError: A sound is silent, holds NaN, or nothing is left of it after the offset.
    """
    for wave, name in ((generated, "generated"), (reference, "reference")):
        require_wave(wave, name=name)
    if len(generated) <= offset:
        raise MediaError(f"{len(generated)} samples are not more than the offset {offset}", where="generated")
    made, real = (
        require_sounding(wave, name=name)
        for wave, name in ((generated[offset:], "generated"), (reference, "reference"))
    )
    length = min(len(made), len(real))
    made, real = (wave[:length] / wave.abs().max() for wave in (made, real))
    return raw_log_spectral_distance(made, real, sample_rate=sample_rate)


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
    if len(generated) != len(reference):
        raise MediaError(f"{len(generated)} and {len(reference)} samples do not pair", fix="cut both to one length")
    made, real = (
        _power(require_wave(wave, name=name), sample_rate)
        for wave, name in ((generated, "generated"), (reference, "reference"))
    )
    # the floors stand where the reference implementation has them, so that near-silent bins agree too
    difference = (real / (made.sqrt() + _FLOOR).square() + _FLOOR).log10()
    return difference.square().mean(0).sqrt().mean()


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
