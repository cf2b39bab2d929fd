"""Noise augmentation of a feature with an embedding of its level, as unCLIP has it."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor, nn

from anyloom.diffusion.objective import add_noise, coefficients

__all__ = ["NoiseAugmentation", "cosine_alphas_cumprod", "sinusoids"]


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def cosine_alphas_cumprod(num_steps: int) -> Tensor:
    """Cumulative alphas ``(T,)`` of the squared-cosine schedule, betas capped at 0.999.

    Nichol and Dhariwal, arXiv 2102.09672, eq. 17; diffusers calls it ``squaredcos_cap_v2``.

    >>> alphas = cosine_alphas_cumprod(1000)
    >>> alphas.shape, bool(alphas[0] > 0.99), bool(alphas[-1] < 0.01)
    (torch.Size([1000]), True, True)
    """
    return _cosine_alphas_cumprod(num_steps)


@functools.lru_cache(maxsize=8)
def _cosine_alphas_cumprod(num_steps: int) -> Tensor:
    with torch.device("cpu"):
        at = (torch.arange(num_steps + 1, dtype=torch.float64) / num_steps + 0.008) / 1.008 * math.pi / 2
        level = at.cos().square()
        betas = (1 - level[1:] / level[:-1]).clamp(max=0.999)
        return (1 - betas).cumprod(0).float()


def sinusoids(levels: Tensor, dim: int) -> Tensor:
    """Embed levels ``(B,)`` as ``(B, dim)``: cosines, then sines, of frequencies ``10000 ** (-2i / dim)``.

    >>> sinusoids(torch.tensor([0]), 4).tolist()
    [[1.0, 1.0, 0.0, 0.0]]
    """
    half = dim // 2
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(half, device=levels.device).float() / max(half, 1))
    angles = levels.float()[:, None] * frequencies
    return nn.functional.pad(torch.cat([angles.cos(), angles.sin()], dim=1), (0, dim - 2 * half))


class NoiseAugmentation(nn.Module):
    """Noises a feature vector to a level and tells the network the level, as in unCLIP (arXiv 2204.06125).

    The vector is standardised with ``mean`` and ``std``, noised by the squared-cosine schedule, brought back, and
    followed by the sinusoidal embedding of its level.

    Args:
        dim: Width D of the vector.
        num_levels: Steps of the schedule.

    >>> augment = NoiseAugmentation(dim=4, num_levels=10)
    >>> augment(torch.zeros(2, 4), torch.tensor([0, 9]), torch.zeros(2, 4)).shape
    torch.Size([2, 8])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int, num_levels: int = 1000) -> None:
        super().__init__()
        self.num_levels = num_levels
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def fit(self, vectors: Tensor) -> None:
        """Take mean and standard deviation from vectors ``(N, D)``."""
        self.mean.copy_(vectors.float().mean(0))
        self.std.copy_(vectors.float().std(0).clamp(min=1e-4))

    def forward(self, vectors: Tensor, levels: Tensor, noise: Tensor) -> Tensor:
        """Return ``(B, 2 D)`` for vectors ``(B, D)``, integer levels ``(B,)`` and noise ``(B, D)``."""
        alpha, sigma = coefficients(cosine_alphas_cumprod(self.num_levels), levels, 2)
        noisy = add_noise((vectors - self.mean) / self.std, noise, alpha, sigma) * self.std + self.mean
        return torch.cat([noisy, sinusoids(levels, vectors.shape[1]).to(noisy)], dim=1)
