"""Sounds as extractors take them: one channel, at the network's own rate, of a known length."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from anyloom.conversation import Media
from anyloom.errors import MediaError
from anyloom_metrics.functional.checks import require_wave

__all__ = ["heard"]


def heard(
    media: Media, *, rate: int, resample: bool, seconds: float | None, at_least: int = 1, centre: bool = True
) -> Tensor:
    """Return a sound as float32 wave ``(T,)``.

    Args:
        media: The sound ``(C, T)``; its first channel is taken.
        rate: Sample rate that the network was trained at, in Hz.
        resample: Whether another rate is brought to it (soxr) instead of being refused.
        seconds: Length to cut or fill up to with silence; None keeps the sound's own.
        at_least: Fewest samples; shorter sounds are filled up with silence.
        centre: Whether the mean is taken off.

    Raises:
        anyloom.errors.MediaError: It is no sound, its rate is unknown or another one, or it holds NaN.
    """
    data, own = media.tensor().detach().cpu(), media.meta.get("sample_rate", 0)
    where = media.path or media.key or "sound"
    if data.ndim != 2 or 0 in data.shape:
        raise MediaError(f"expected a sound (C, T), got {tuple(data.shape)}", where=where)
    if own <= 0:
        raise MediaError("the sample rate is unknown", where=where, fix="give meta={'sample_rate': ...} in Hz")
    if own != rate and not resample:
        raise MediaError(
            f"the sound has {own:g} Hz, the network was trained at {rate} Hz",
            where=where,
            fix="resample the sounds, or set 'resample: true' and say so beside the number",
        )
    wave = require_wave(data[0], name=where).float()
    if own != rate:
        import soxr

        wave = torch.from_numpy(soxr.resample(wave.numpy(), own, rate)).float()
    wave = wave - wave.mean() if centre else wave
    length = max(at_least, len(wave)) if seconds is None else round(seconds * rate)
    return F.pad(wave[:length], (0, max(0, length - len(wave))))
