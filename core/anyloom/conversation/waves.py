"""What a sound must be before anything is computed from it."""

from __future__ import annotations

import warnings
from typing import Final

import torch
from torch import Tensor

from anyloom.errors import MediaError

__all__ = ["LOUDEST", "RESCALE", "checked_wave", "warn_of_rest"]

LOUDEST: Final = 64.0
"""Largest sample that is still loud, 36 dB above full scale, and not a whole number of 16 bits left as it was."""

RESCALE: Final = "divide whole numbers of 16 bits by 32768, of 24 by 8388608"


def checked_wave(data: Tensor, sample_rate: float, where: str) -> Tensor:
    """Return a sound ``(1, T)`` as float32 on the CPU.

    Args:
        data: Samples, float in -1..1.
        sample_rate: In Hz, 0 if it is not known.
        where: Place for the error message.

    Raises:
        anyloom.errors.MediaError: It is no mono sound, holds no samples or some that are not finite, or its rate is
            unknown, or it goes beyond :data:`LOUDEST`. Nothing of that is guessed: a wrong rate is another sound.

    >>> checked_wave(torch.zeros(1, 4), 16000, "a.wav").shape
    torch.Size([1, 4])
    """
    if data.ndim != 2 or data.shape[0] != 1 or not data.shape[1] or not data.is_floating_point():
        raise MediaError(
            f"expected a float tensor (1, T), got {data.dtype} {tuple(data.shape)}",
            where=where,
            fix="mix it down to mono: data.mean(0, keepdim=True)",
        )
    if not sample_rate > 0:
        raise MediaError("the sample rate is unknown", where=where, fix="give meta={'sample_rate': ...} in Hz")
    if not torch.isfinite(data).all():
        raise MediaError("the tensor holds NaN or infinite values", where=where)
    samples = data.detach().cpu().float()
    if (peak := float(samples.abs().max())) > LOUDEST:
        raise MediaError(f"its samples go to {peak:g}, where -1..1 is meant", where=where, fix=RESCALE)
    return samples


def warn_of_rest(data: Tensor, sample_rate: float, seconds: float, doing: str = "heard") -> None:
    """Warn where a sound ``(C, T)`` is longer than what is used of it. A hundredth is not remarked on.

    The same words for every sound, so that a run says it once.

    Args:
        data: Samples.
        sample_rate: In Hz.
        seconds: What is used.
        doing: What it is used for.

    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     warn_of_rest(torch.zeros(1, 8000), sample_rate=8000, seconds=0.5)
    >>> str(caught[0].message)
    'sounds are heard for 0.5 s; a longer one is cut'
    """
    if data.shape[-1] > 1.01 * seconds * sample_rate + 1:
        warnings.warn(f"sounds are {doing} for {seconds:g} s; a longer one is cut", UserWarning, stacklevel=3)
