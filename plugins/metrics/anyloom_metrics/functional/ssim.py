"""Structural similarity of pictures, in the two windows and two borders that published numbers use."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from anyloom.errors import MediaError
from anyloom_metrics.functional.checks import require_pictures

__all__ = ["ssim"]

Window = Literal["gaussian", "uniform"]
Border = Literal["reflect", "crop"]
_K1, _K2, _SIGMA = 0.01, 0.03, 1.5


def ssim(
    pred: Tensor, target: Tensor, *, data_range: float, window: Window = "gaussian", border: Border = "reflect"
) -> Tensor:
    """SSIM of each picture (Wang et al., 2004), channels averaged; higher is better, 1 for equal pictures.

    ``gaussian`` and ``reflect`` is torchmetrics' number; ``gaussian`` and ``crop`` is Wang's and scikit-image's with
    ``gaussian_weights=True, use_sample_covariance=False``; ``uniform`` and ``crop`` is scikit-image's default. On one
    picture they differ by .05: say which is printed.

    Args:
        pred: ``(N, C, H, W)`` in 0..data_range.
        target: ``(N, C, H, W)``.
        data_range: Largest possible value.
        window: ``gaussian`` of 11 pixels with sigma 1.5, or ``uniform`` of 7 with sample covariance.
        border: ``reflect`` counts windows that reach over the edge, ``crop`` leaves them out.

    Returns:
        ``(N,)``, float64.

    Raises:
        anyloom.errors.MediaError: Shapes differ, values lie outside the range, or a side is shorter than the window.

    >>> picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> ssim(picture, picture, data_range=1.0).shape
    torch.Size([1])
    >>> bool(ssim(picture, 1 - picture, data_range=1.0) < ssim(picture, picture, data_range=1.0))
    True
    """
    made, real = require_pictures(pred, target, data_range)
    return ssim_map(made, real, data_range=data_range, window=window, border=border).mean((1, 2, 3))


def ssim_map(made: Tensor, real: Tensor, *, data_range: float, window: Window, border: Border) -> Tensor:
    """SSIM ``(N, C, H', W')`` at each place; values are not checked against the range.

    >>> picture = torch.rand(1, 1, 16, 16)
    >>> ssim_map(picture, picture, data_range=1.0, window="uniform", border="crop").shape
    torch.Size([1, 1, 10, 10])
    """
    weights = _weights(window).to(made)
    size = len(weights)
    if min(made.shape[-2:]) < size:
        raise MediaError(f"pictures {tuple(made.shape[-2:])} are smaller than the window of {size} pixels")
    if border == "reflect":
        made, real = (F.pad(x, [size // 2] * 4, mode="reflect") for x in (made, real))
    # scikit-image's uniform window estimates covariances with the divisor N - 1
    correction = size**2 / (size**2 - 1) if window == "uniform" else 1.0

    def local(x: Tensor) -> Tensor:
        flat = x.flatten(0, 1)[:, None]
        smooth = F.conv2d(F.conv2d(flat, weights[None, None, :, None]), weights[None, None, None])
        return smooth.reshape(*x.shape[:2], *smooth.shape[2:])

    mean1, mean2 = local(made), local(real)
    var1, var2 = local(made.square()) - mean1.square(), local(real.square()) - mean2.square()
    shared = local(made * real) - mean1 * mean2
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    light = (2 * mean1 * mean2 + c1) / (mean1.square() + mean2.square() + c1)
    similarity: Tensor = light * (2 * correction * shared + c2) / (correction * (var1 + var2) + c2)
    return similarity


def _weights(window: Window) -> Tensor:
    if window == "uniform":
        return torch.full((7,), 1 / 7, dtype=torch.float64)
    places = torch.arange(-5, 6, dtype=torch.float64)
    weights = torch.exp(-places.square() / (2 * _SIGMA**2))
    return weights / weights.sum()
