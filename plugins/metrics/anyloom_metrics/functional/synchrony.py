"""Synchrony of sound and picture: how far an event in the clip is from its sound."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from anyloom.errors import MediaError
from anyloom_metrics.functional.checks import require_number, require_sounding, require_tensor

__all__ = ["Synchrony", "audio_onsets", "synchrony", "video_onsets"]

_EMPTY = 1e-6


class Synchrony(NamedTuple):
    """Synchrony of one clip with its sound.

    Args:
        offset: Seconds by which the sound is late; negative if it is early. 0 is best.
        correlation: Normalised correlation of the onsets at that offset, 0..1; low values say that the offset means
            little, since sound and picture have no events in common.
        score: Normalised correlation without any shift, 0..1; higher is better.
    """

    offset: float
    correlation: float
    score: float


def audio_onsets(wave: Tensor, *, sample_rate: float, rate: float, steps: int) -> Tensor:
    """Rises of loudness ``(steps,)`` of a wave ``(T,)``, ``rate`` per second.

    Args:
        wave: The sound.
        sample_rate: In Hz.
        rate: Steps per second.
        steps: Number of steps; what is missing at the end counts as silence.

    Raises:
        anyloom.errors.MediaError: The sound is silent or holds NaN.

    >>> wave = torch.cat([torch.zeros(800), torch.sin(torch.arange(800.0))])
    >>> audio_onsets(wave, sample_rate=800, rate=4, steps=8).argmax()
    tensor(4)
    """
    _require_steps(rate, steps)
    require_number(sample_rate, name="sample_rate")
    centred = require_sounding(wave, name="sound").double()
    step = (torch.arange(len(centred), device=centred.device) * (rate / sample_rate)).long()
    kept = step < steps
    energy = torch.zeros(steps, dtype=torch.float64, device=centred.device)
    energy.index_add_(0, step[kept], centred[kept].square())
    return _rises((energy * rate / sample_rate).sqrt())


def video_onsets(frames: Tensor, *, fps: float, rate: float, steps: int) -> Tensor:
    """Sizes of sudden changes ``(steps,)`` of a clip, ``rate`` per second.

    The change of a frame is the mean absolute difference to the frame before.

    Args:
        frames: ``(T, C, H, W)``, float in 0..1 or bytes.
        fps: Frames per second.
        rate: Steps per second.
        steps: Number of steps.

    Raises:
        anyloom.errors.MediaError: Fewer than two frames, or nothing moves.

    >>> frames = torch.zeros(4, 3, 2, 2)
    >>> frames[2:] = 1  # white from the third frame on, half a second after the first
    >>> video_onsets(frames, fps=4, rate=8, steps=8).nonzero().flatten().tolist()  # in eighths of a second
    [4]
    """
    _require_steps(rate, steps)
    require_number(fps, name="fps")
    if require_tensor(frames, name="clip").ndim != 4 or len(frames) < 2:
        raise MediaError(f"expected at least two frames (T, C, H, W), got {tuple(frames.shape)}", where="clip")
    values = frames.double() / (1.0 if frames.is_floating_point() else 255.0)
    if not bool(values.isfinite().all()):
        raise MediaError("the clip holds NaN or infinite values", where="clip")
    change = torch.zeros(len(values), dtype=torch.float64, device=values.device)
    change[1:] = values.diff(dim=0).abs().mean((1, 2, 3))
    if float(change.max()) <= _EMPTY:
        raise MediaError("nothing moves in the clip", where="clip", fix="count still clips, do not measure them")
    place = (torch.arange(len(values), device=values.device) * (rate / fps)).round().long()
    kept = place < steps
    onsets = torch.zeros(steps, dtype=torch.float64, device=values.device)
    onsets.index_add_(0, place[kept], _rises(change)[kept])
    return onsets


def synchrony(sound: Tensor, picture: Tensor, *, rate: float, most: float = 1.0) -> Synchrony:
    """Offset and correlation of two onset curves, by normalised cross-correlation.

    Args:
        sound: ``(steps,)``, of :func:`audio_onsets`.
        picture: ``(steps,)``, of :func:`video_onsets`.
        rate: Steps per second.
        most: Largest offset that is looked for, in seconds.

    Raises:
        anyloom.errors.MediaError: A curve has no onset, or the lengths differ.

    >>> beep, flash = torch.zeros(100), torch.zeros(100)
    >>> beep[30], flash[20] = 1.0, 1.0
    >>> synchrony(beep, flash, rate=50.0).offset
    0.2
    """
    require_number(rate, name="rate")
    sound, picture = (require_tensor(c, name=n).double() for c, n in ((sound, "sound"), (picture, "picture")))
    if sound.shape != picture.shape or sound.ndim != 1:
        raise MediaError(f"onset curves {tuple(sound.shape)} and {tuple(picture.shape)} do not pair")
    if not bool(sound.isfinite().all() and picture.isfinite().all()):
        raise MediaError("an onset curve holds NaN or infinite values")
    norm = float(sound.norm() * picture.norm())
    if not norm > 0:
        raise MediaError("sound or picture has no onset to compare")
    shifts = range(-round(most * rate), round(most * rate) + 1)
    found = {shift: _correlation(sound, picture, shift) / norm for shift in shifts}
    # of equal correlations the smallest shift counts
    best = max(shifts, key=lambda shift: (found[shift], -abs(shift)))
    return Synchrony(best / rate, found[best], found[0])


def _require_steps(rate: float, steps: int) -> None:
    require_number(rate, name="rate")
    require_number(steps, name="steps", least=1, whole=True)


def _correlation(sound: Tensor, picture: Tensor, shift: int) -> float:
    """Sum of ``sound[t + shift] * picture[t]``."""
    length = len(sound) - abs(shift)
    if length <= 0:
        return 0.0
    late, early = (sound, picture) if shift >= 0 else (picture, sound)
    return float(late[abs(shift) :][:length] @ early[:length])


def _rises(curve: Tensor) -> Tensor:
    """Positive differences; the first value rises from nothing."""
    before = torch.cat([curve.new_zeros(1), curve[:-1]])
    return (curve - before).clamp(min=0)
