"""Accelerometer and gyroscope readings as the imu tower wants them."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from anyloom.errors import MediaError
from anyloom_imagebind.stems import IMU_STEPS

__all__ = ["motion_input"]

_SECONDS: Final = 5.0


def motion_input(readings: Tensor, sample_rate: float = 0, where: str = "") -> Tensor:
    """Return readings ``(6, T)`` as ``(6, 2000)``, the five seconds of the paper's appendix.

    ImageBind publishes no loader for these. Values are passed on as they are; 2000 steps stay untouched. Otherwise,
    with a sample rate, the middle five seconds are taken (zeros follow a shorter recording) and brought to 2000
    steps linearly; without one, the whole recording is taken for five seconds.

    Args:
        readings: Accelerometer x, y, z, then gyroscope x, y, z.
        sample_rate: In Hz; 0 if unknown.
        where: Place for the error message.

    Raises:
        anyloom.errors.MediaError: There are not six channels, fewer than two steps, or values that are not finite.
    """
    if readings.ndim != 2 or readings.shape[0] != 6 or readings.shape[1] < 2:
        raise MediaError(f"expected a tensor (6, T) with T >= 2, got {tuple(readings.shape)}", where=where)
    x = readings.float()
    if not torch.isfinite(x).all():
        raise MediaError("the tensor holds NaN or infinite values", where=where)
    if x.shape[1] == IMU_STEPS:
        return x
    if sample_rate > 0:
        steps = max(2, round(_SECONDS * sample_rate))
        start = max(0, (x.shape[1] - steps) // 2)
        x = x[:, start : start + steps]
        x = F.pad(x, (0, steps - x.shape[1]))
    return F.interpolate(x[None], IMU_STEPS, mode="linear", align_corners=False)[0]
