"""Peak signal-to-noise ratio of pictures."""

from __future__ import annotations

import math

from torch import Tensor

from anyloom_metrics.functional.checks import require_pictures

__all__ = ["psnr"]


def psnr(pred: Tensor, target: Tensor, *, data_range: float) -> Tensor:
    """PSNR in dB of each picture; higher is better, infinite for equal pictures.

    Tables average it over pictures. One mean squared error over all pictures at once (the default of torchmetrics)
    is another number.

    Args:
        pred: ``(N, C, H, W)`` in 0..data_range.
        target: ``(N, C, H, W)``.
        data_range: Largest possible value.

    Returns:
        ``(N,)``, float64.

    Raises:
        anyloom.errors.MediaError: Shapes differ, or values lie outside the range.

    >>> import torch
    >>> round(float(psnr(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.1), data_range=1.0)), 3)
    20.0
    """
    made, real = require_pictures(pred, target, data_range)
    return 20 * math.log10(data_range) - 10 * (made - real).square().mean((1, 2, 3)).log10()
