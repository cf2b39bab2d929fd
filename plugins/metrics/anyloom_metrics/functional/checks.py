"""What every function asks of its input, so that no number comes out of what cannot be measured."""

from __future__ import annotations

import math
import numbers
from typing import Any, Final

import torch
from torch import Tensor

from anyloom.errors import ConfigError, FeatureSpaceError, MediaError

__all__ = [
    "SILENCE",
    "require_features",
    "require_number",
    "require_pictures",
    "require_sounding",
    "require_tensor",
    "require_wave",
]

SILENCE: Final = 2.0**-15
"""Largest distance from the mean of a sound that counts as silent: one step of a 16-bit file."""


def require_tensor(value: Any, *, name: str) -> Tensor:
    """Return a tensor of real numbers.

    Raises:
        anyloom.errors.MediaError: It is something else; says how to make a tensor of it.

    >>> try:
    ...     require_tensor([1.0], name="sound")
    ... except MediaError as error:
    ...     print(error)
    sound: expected a tensor, got list. To fix: torch.as_tensor of an array or a list, Media.tensor() of a file
    """
    if not isinstance(value, Tensor):
        raise MediaError(
            f"expected a tensor, got {type(value).__name__}",
            where=name,
            fix="torch.as_tensor of an array or a list, Media.tensor() of a file",
        )
    if value.is_complex():
        raise MediaError("expected real numbers, got complex ones", where=name, fix="take their absolute values")
    return value


def require_number(value: Any, *, name: str, least: float = 0.0, whole: bool = False) -> None:
    """Check an option that is a number.

    Args:
        value: What was given.
        name: Of the option.
        least: Smallest value; at 0 the number must be larger.
        whole: Whether it counts something.

    Raises:
        anyloom.errors.ConfigError: It is no such number.

    >>> require_number(16000, name="sample_rate")
    """
    kind = numbers.Integral if whole else numbers.Real
    good = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
    if not good or value < least or value <= 0:
        what = "a whole number" if whole else "a number"
        above = f"of {least:g} or more" if least else "above 0"
        raise ConfigError(f"expected {what} {above}, got {value!r}", where=name)


def require_features(features: Tensor, *, name: str, at_least: int = 1) -> Tensor:
    """Return features ``(N, D)`` as float64.

    Raises:
        anyloom.errors.MediaError: They are no finite numbers, or too few.
        anyloom.errors.FeatureSpaceError: They are no rows.

    >>> require_features(torch.ones(2, 3), name="generated").dtype
    torch.float64
    >>> try:
    ...     require_features(torch.ones(3), name="generated")
    ... except FeatureSpaceError as error:
    ...     print(error)
    generated: expected features (N, D), got (3,)
    """
    if require_tensor(features, name=name).ndim != 2:
        raise FeatureSpaceError(f"expected features (N, D), got {tuple(features.shape)}", where=name)
    if len(features) < at_least:
        raise MediaError(f"{len(features)} samples are too few", where=name, fix=f"give {at_least} or more")
    if not bool(features.isfinite().all()):
        bad = int((~features.isfinite().all(1)).sum())
        raise MediaError(f"{bad} of {len(features)} features hold NaN or infinite values", where=name)
    return features.double()


def require_wave(wave: Tensor, *, name: str) -> Tensor:
    """Return a wave ``(T,)`` with finite values, in the precision of float32 at least.

    Raises:
        anyloom.errors.MediaError: It is no wave, has no samples or holds NaN or infinite values.

    >>> require_wave(torch.zeros(8), name="sound").shape
    torch.Size([8])
    """
    if require_tensor(wave, name=name).ndim != 1 or not wave.is_floating_point() or not len(wave):
        raise MediaError(f"expected a float wave (T,), got {wave.dtype} {tuple(wave.shape)}", where=name)
    if not bool(wave.isfinite().all()):
        raise MediaError("the sound holds NaN or infinite values", where=name)
    return wave if wave.dtype == torch.float64 else wave.float()


def require_sounding(wave: Tensor, *, name: str) -> Tensor:
    """Return a wave ``(T,)`` without its mean.

    Raises:
        anyloom.errors.MediaError: It is no wave or silent: its spectrum would be rounding noise.

    >>> require_sounding(torch.tensor([0.0, 1.0]), name="sound")
    tensor([-0.5000,  0.5000])
    >>> try:
    ...     require_sounding(torch.zeros(8), name="sound")
    ... except MediaError as error:
    ...     print(error.what)
    the sound is silent
    """
    sound = require_wave(wave, name=name)
    centred = sound - sound.mean()
    if float(centred.abs().max()) <= SILENCE:
        raise MediaError("the sound is silent", where=name, fix="count silent sounds, do not measure them")
    return centred


def require_pictures(pred: Tensor, target: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    """Return two batches of pictures ``(N, C, H, W)`` as float64, checked against their range.

    Args:
        pred: First batch.
        target: Second batch.
        data_range: Largest possible value; the smallest is 0 (255 for bytes, 1 for the framework's float pictures).

    Raises:
        anyloom.errors.MediaError: Shapes differ, or values lie outside ``0..data_range``.
    """
    require_number(data_range, name="data_range")
    for name, given in (("pred", pred), ("target", target)):
        if require_tensor(given, name=name).dtype == torch.bool:
            raise MediaError("expected pictures of numbers, got yes and no", where=name, fix="give .float()")
    if pred.shape != target.shape or pred.ndim != 4 or 0 in pred.shape:
        raise MediaError(
            f"expected two equal shapes (N, C, H, W), got {tuple(pred.shape)} and {tuple(target.shape)}",
            where="pictures",
        )
    for name, pictures in (("pred", pred), ("target", target)):
        low, high = float(pictures.min()), float(pictures.max())
        # NaN fails both comparisons
        if not (low >= 0 and high <= data_range):
            raise MediaError(
                f"values go from {low:g} to {high:g}, outside 0..{data_range:g}",
                where=name,
                fix="clamp the pictures, or give the right data_range",
            )
        if not pictures.is_floating_point() and data_range != torch.iinfo(pictures.dtype).max:
            raise MediaError(
                f"{pictures.dtype} pictures have the range {torch.iinfo(pictures.dtype).max}, not {data_range:g}",
                where=name,
            )
    return pred.double(), target.double()
