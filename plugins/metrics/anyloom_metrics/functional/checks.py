"""What every function asks of its input, so that no number comes out of what cannot be measured."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from anyloom.errors import FeatureSpaceError, MediaError

__all__ = ["SILENCE", "require_features", "require_pictures", "require_sounding", "require_wave"]

SILENCE: Final = 2.0**-15
"""Largest distance from the mean of a sound that counts as silent: one step of a 16-bit file."""


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
    if features.ndim != 2:
        raise FeatureSpaceError(f"expected features (N, D), got {tuple(features.shape)}", where=name)
    if len(features) < at_least:
        raise MediaError(f"{len(features)} samples are too few", where=name, fix=f"give {at_least} or more")
    if not bool(features.isfinite().all()):
        bad = int((~features.isfinite().all(1)).sum())
        raise MediaError(f"{bad} of {len(features)} features hold NaN or infinite values", where=name)
    return features.double()


def require_wave(wave: Tensor, *, name: str) -> Tensor:
    """Return a wave ``(T,)`` with finite values.

    Raises:
        anyloom.errors.MediaError: It is no wave, has no samples or holds NaN or infinite values.

    >>> require_wave(torch.zeros(8), name="sound").shape
    torch.Size([8])
    """
    if wave.ndim != 1 or not wave.is_floating_point() or not len(wave):
        raise MediaError(f"expected a float wave (T,), got {wave.dtype} {tuple(wave.shape)}", where=name)
    if not bool(wave.isfinite().all()):
        raise MediaError("the sound holds NaN or infinite values", where=name)
    return wave


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
    centred = require_wave(wave, name=name) - wave.mean()
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
