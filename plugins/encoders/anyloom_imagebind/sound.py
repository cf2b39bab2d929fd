"""Sounds as log-mel pictures: resampling to 16 kHz, Kaldi's filter bank, clips of two seconds.

Own code for two published definitions: windowed-sinc resampling as torchaudio's defaults have it, and Kaldi's
filter bank with 25 ms Hann windows every 10 ms and 128 mel bins.
"""

from __future__ import annotations

import functools
import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from anyloom.conversation.waves import checked_wave, warn_of_rest
from anyloom.errors import MediaError
from anyloom_imagebind.clips import CLIP_SECONDS, clip_spans
from anyloom_imagebind.stems import MEL_BINS, MEL_FRAMES

__all__ = ["SAMPLE_RATE", "log_mel", "mel_picture", "resample", "sound_inputs"]

SAMPLE_RATE: Final = 16000
_WINDOW, _HOP, _FFT = 400, 160, 512
_PRE_EMPHASIS: Final = 0.97
_LOWEST_HZ: Final = 20.0
_MEAN, _STD = -4.268, 9.138
_ZERO_CROSSINGS: Final = 6
_ROLLOFF: Final = 0.99


def sound_inputs(samples: Tensor, sample_rate: float, clips: int, where: str = "") -> Tensor:
    """Return a sound ``(1, T)`` as standardised log-mel clips ``(clips, 1, 128, 204)``.

    Args:
        samples: Mono, float in -1..1.
        sample_rate: In Hz.
        clips: Clips of two seconds, evenly spread; they overlap where the sound is short.
        where: Place for the error message.

    Raises:
        anyloom.errors.MediaError: It is no sound, its rate is unknown, or it is shorter than 25 ms.
    """
    samples = checked_wave(samples, sample_rate, where)
    warn_of_rest(samples, sample_rate, clips * CLIP_SECONDS, f"heard in {clips} clips spread over them,")
    wave = resample(samples[0], round(sample_rate), SAMPLE_RATE)
    if len(wave) < _WINDOW:
        raise MediaError(f"the sound lasts {len(wave) / 16:.1f} ms, at least 25 ms are needed", where=where)
    return (torch.stack(_mel_clips(wave.clone(), clips)) - _MEAN) / _STD


def _mel_clips(wave: Tensor, clips: int) -> list[Tensor]:
    """Log-mel clips of 16 kHz samples ``(T,)``, which lose their mean clip by clip.

    The published code takes the mean away in place, so where clips overlap the later one meets what the earlier one
    left; weights were used with that, so it is kept.
    """
    pictures = []
    for start, end in clip_spans(len(wave) / SAMPLE_RATE, clips):
        piece = wave[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]
        piece -= piece.mean()
        pictures.append(mel_picture(piece))
    return pictures


def mel_picture(samples: Tensor) -> Tensor:
    """Return 16 kHz samples ``(T,)``, about two seconds, as ``(1, 128, 204)``: cut, or padded with zeros."""
    mel = log_mel(samples).mT
    return F.pad(mel, (0, max(MEL_FRAMES - mel.shape[1], 0)))[None, :, :MEL_FRAMES]


def log_mel(samples: Tensor) -> Tensor:
    """Return Kaldi's log filter bank ``(frames, 128)`` of 16 kHz samples ``(T,)``.

    Each window loses its mean, is pre-emphasised, weighted and transformed; energies below float32's epsilon count
    as that. Worked out in float64: in float32, rounding alone moves quiet bands by up to 0.01.
    """
    frames = samples.double().unfold(0, _WINDOW, _HOP)
    frames = frames - frames.mean(1, keepdim=True)
    before = F.pad(frames, (1, 0), mode="replicate")[:, :-1]
    frames = (frames - _PRE_EMPHASIS * before) * torch.hann_window(_WINDOW, periodic=False, dtype=torch.float64)
    power = torch.fft.rfft(frames, _FFT).abs() ** 2
    energies: Tensor = (power @ _mel_filters().mT).clamp_min(torch.finfo(torch.float32).eps)
    return energies.log().float()


@functools.cache
def _mel_filters() -> Tensor:
    """Triangles ``(128, 257)``, evenly spaced and straight on the scale ``1127 ln(1 + f / 700)``."""
    low, high = (1127 * math.log(1 + f / 700) for f in (_LOWEST_HZ, SAMPLE_RATE / 2))
    step = (high - low) / (MEL_BINS + 1)
    left = low + torch.arange(MEL_BINS, dtype=torch.float64)[:, None] * step
    mel = 1127 * torch.log1p(torch.arange(_FFT // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / _FFT / 700)
    rising, falling = (mel - left) / step, (left + 2 * step - mel) / step
    return torch.minimum(rising, falling).clamp_min(0)


def resample(samples: Tensor, rate: int, wanted: int) -> Tensor:
    """Resample ``(T,)`` by a Hann-windowed sinc of six zero crossings, rolled off at 0.99 of the lower Nyquist.

    >>> resample(torch.zeros(441), 44100, 16000).shape
    torch.Size([160])
    """
    if rate == wanted:
        return samples
    step, phases = rate // math.gcd(rate, wanted), wanted // math.gcd(rate, wanted)
    kernels, reach = _sinc_kernels(step, phases)
    padded = F.pad(samples, (reach, reach + step))
    out = F.conv1d(padded[None, None], kernels[:, None], stride=step)[0].mT.flatten()
    return out[: math.ceil(phases * len(samples) / step)]


@functools.lru_cache(maxsize=16)
def _sinc_kernels(step: int, phases: int) -> tuple[Tensor, int]:
    """Kernels ``(phases, K)``, one per output phase, and how far they reach back."""
    cutoff = min(step, phases) * _ROLLOFF
    reach = math.ceil(_ZERO_CROSSINGS * step / cutoff)
    taps = torch.arange(-reach, reach + step, dtype=torch.float64) / step
    delays = torch.arange(phases, dtype=torch.float64)[:, None] / phases
    t = ((taps - delays) * cutoff).clamp(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = torch.cos(t * math.pi / _ZERO_CROSSINGS / 2) ** 2
    return (torch.sinc(t) * window * cutoff / step).float(), reach
