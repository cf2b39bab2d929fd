"""CLAP's preprocessing: ten seconds at 48 kHz as a log-mel spectrogram in dB, as ``ClapFeatureExtractor`` makes it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from anyloom.conversation.waves import warn_of_rest
from anyloom.errors import MediaError
from anyloom.signal.mel import mel_filters, spectrogram
from anyloom_clip.config import SoundNumbers

__all__ = ["frames", "sound_input"]

_FLOOR = 1e-10


def frames(numbers: SoundNumbers) -> int:
    """Frames of a prepared sound."""
    return int(numbers.samples // numbers.hop) + 1


def sound_input(wave: Tensor, sample_rate: float, num_mels: int, numbers: SoundNumbers, where: str = "") -> Tensor:
    """Return a sound ``(C, T)`` as float32 ``(1, frames, num_mels)`` in dB; channels are averaged.

    Args:
        wave: Float, in -1..1.
        sample_rate: In Hz.
        num_mels: Mel bands.
        numbers: The other numbers.
        where: Place for the error message.

    Raises:
        anyloom.errors.MediaError: It is no sound, or its rate is unknown.
    """
    if wave.ndim != 2 or 0 in wave.shape or not wave.is_floating_point():
        raise MediaError(f"a sound is a float tensor (C, T), got {wave.dtype} {tuple(wave.shape)}", where=where)
    if not sample_rate > 0:
        raise MediaError("the sample rate is unknown", where=where, fix="give meta={'sample_rate': ...} in Hz")
    if not torch.isfinite(wave).all():
        raise MediaError("the tensor holds NaN or infinite values", where=where)
    seconds = numbers.samples / numbers.sample_rate
    warn_of_rest(wave, sample_rate, seconds)
    heard = _filled(_resampled(wave.detach().cpu().mean(0), sample_rate, numbers), numbers.samples)
    power = spectrogram(heard.double(), numbers.fft_size, numbers.hop).abs().square()
    rate, edges = numbers.sample_rate, (numbers.low, numbers.high)
    bands = mel_filters(num_mels, numbers.fft_size, rate, *edges, numbers.mel_scale).double() @ power
    return (10 * bands.clamp(min=_FLOOR).log10()).T.float()[None]


def _resampled(samples: Tensor, rate: float, numbers: SoundNumbers) -> Tensor:
    if rate == numbers.sample_rate:
        return samples
    import soxr

    return torch.from_numpy(soxr.resample(samples.float().numpy(), rate, numbers.sample_rate))


def _filled(samples: Tensor, count: int) -> Tensor:
    """Cut to ``count``, or repeat as often as it fits and pad with silence."""
    samples = samples[:count]
    repeated = samples.repeat(count // max(len(samples), 1))
    return F.pad(repeated, (0, count - len(repeated)))
