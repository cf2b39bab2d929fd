"""Media -> a picture-like tensor ``(C, rows, columns)`` of about unit range."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from anyloom.conversation import Media
from anyloom.conversation.pixels import checked_pixels
from anyloom.conversation.waves import checked_wave, warn_of_rest
from anyloom.errors import MediaError
from anyloom.signal.mel import mel_filters, spectrogram

__all__ = ["clip_grid", "picture_grid", "sound_grid"]

FFT_SIZE = 1024
FLOOR = 1e-4


_PER_EXPOSURE: Final = 2


def picture_grid(media: Media, size: int) -> Tensor:
    """Picture ``(3, size, size)`` in [-1, 1], resized with antialiasing where needed."""
    return _scaled(checked_pixels(media.tensor(), media.path or media.key, 3)[None], size)[0]


def clip_grid(media: Media, size: int, exposures: int) -> Tensor:
    """Means of two frames each ``(exposures, 3, size, size)`` in [-1, 1].

    The frames are taken at equal distances in time, so clips of any length and rate are looked at from end to end.
    """
    length, count = media.length(), exposures * _PER_EXPOSURE
    if not length:
        raise MediaError("a clip is a tensor (T, 3, H, W), this one has no frames", where=media.path or media.key)
    wanted = [(2 * index + 1) * length // (2 * count) for index in range(count)]
    frames = _scaled(checked_pixels(media.sample(wanted), media.path or media.key, 4), size)
    return frames.reshape(exposures, _PER_EXPOSURE, *frames.shape[1:]).mean(1)


def _scaled(x: Tensor, size: int) -> Tensor:
    """Pictures ``(N, 3, H, W)`` as ``(N, 3, size, size)`` in [-1, 1]."""
    x = x.float() / 255 if x.dtype == torch.uint8 else x.float()
    if x.shape[2:] != (size, size):
        x = F.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return x.clamp(0, 1) * 2 - 1


def sound_grid(media: Media, size: int, seconds: float, sample_rate: int) -> Tensor:
    """Log-mel spectrum ``(1, size, size)``: bands, frames; silence is -1 and 0 dB full scale about 1.

    Args:
        media: Sound ``(1, T)`` with its ``sample_rate`` in Hz.
        size: Mel bands, and frames over ``seconds``.
        seconds: What is looked at, from the start; shorter sounds are padded with silence.
        sample_rate: In Hz.
    """
    rate = media.meta.get("sample_rate", 0)
    wave = checked_wave(media.tensor(), rate, media.path or media.key)
    warn_of_rest(wave, rate, seconds)
    if rate != sample_rate:
        import soxr

        wave = torch.from_numpy(soxr.resample(wave.mean(0).numpy(), rate, sample_rate))[None]
    length = int(seconds * sample_rate)
    wave = F.pad(wave.mean(0)[:length], (0, max(0, length - wave.shape[-1])))
    power = spectrogram(wave, FFT_SIZE, length // size)[:, :size].abs().square()
    mel = mel_filters(size, FFT_SIZE, sample_rate, scale="htk") @ power
    return (mel + FLOOR).log10()[None] / 3.5 + 1 / 7
