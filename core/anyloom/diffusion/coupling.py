"""Two decoders that agree with each other while they denoise: each one's condition attends to the other's side.

CoDi (arXiv 2305.11846, section 3.4) lets each denoiser attend to the other's noisy latents, seen through a small
encoder, at the same diffusion time. Here the denoisers stay as they are, whatever they are: the attention changes the
condition they read.

Shape legend: B samples, L feature steps, D feature dim, Z latent channels, P places, W width of the attention.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from anyloom.diffusion.condition import sinusoids
from anyloom.interfaces.component import ComponentConfig

__all__ = ["ConditionCoupler", "CouplerSizes"]


class CouplerSizes(ComponentConfig):
    """Sizes of the attention between two decoders.

    Args:
        width: Width W of the attention.
        heads: Heads of the attention.
        places: Pieces P that noisy latents are cut into along their first axis, which is time where there is time.
        detail: Means per piece and latent channel.
    """

    width: PositiveInt = 256
    heads: PositiveInt = 4
    places: PositiveInt = 16
    detail: PositiveInt = 4

    @model_validator(mode="after")
    def _divides(self) -> CouplerSizes:
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, {self.width} is not one of {self.heads}")
        return self


class ConditionCoupler(nn.Module):
    """Residual cross-attention in both directions; starts as the identity.

    Args:
        sizes: Its sizes.
        dims: Feature dims ``D`` of the two sides.
        channels: Latent channels ``Z`` of the two sides.
    """

    def __init__(self, sizes: CouplerSizes, dims: Sequence[int], channels: Sequence[int]) -> None:
        super().__init__()
        self.to_first = _Listener(sizes, dims[0], dims[1], channels[1])
        self.to_second = _Listener(sizes, dims[1], dims[0], channels[0])

    def forward(self, features: Sequence[Tensor], noisy: Sequence[Tensor], timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the coupled features of both sides.

        Args:
            features: ``(B, L, D)`` of each side.
            noisy: Noisy latents ``(B, Z, ...)`` of each side.
            timesteps: Diffusion time ``(B,)``, the same for both.
        """
        first, second = features
        return self.to_first(first, second, noisy[1], timesteps), self.to_second(second, first, noisy[0], timesteps)


class _Listener(nn.Module):
    """Adds to one side's features what they attend to on the other side: its features and its noisy latents."""

    def __init__(self, sizes: CouplerSizes, dim: int, other_dim: int, other_channels: int) -> None:
        super().__init__()
        width = sizes.width
        self.places, self.detail = sizes.places, sizes.detail
        self.query = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, width))
        self.other = nn.Sequential(nn.LayerNorm(other_dim), nn.Linear(other_dim, width))
        self.surroundings = nn.Linear(other_channels * sizes.detail, width)
        self.position = nn.Parameter(0.02 * torch.randn(sizes.places, width))
        self.time = nn.Linear(width, width)
        self.attention = nn.MultiheadAttention(width, sizes.heads, batch_first=True)
        self.change = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, dim))
        for parameter in self.change[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, other: Tensor, noisy: Tensor, timesteps: Tensor) -> Tensor:
        """Return features ``(B, L, D)`` in their own precision."""
        dtype = self.position.dtype
        time = self.time(sinusoids(timesteps, self.position.shape[1]).to(dtype))[:, None]
        heard = torch.cat([self.other(other.to(dtype)), self._pieces(noisy.to(dtype))], 1) + time
        query = self.query(features.to(dtype)) + time
        attended, _ = self.attention(query, heard, heard, need_weights=False)
        changed: Tensor = features + self.change(query + attended).to(features.dtype)
        return changed

    def _pieces(self, noisy: Tensor) -> Tensor:
        """Means of noisy latents ``(B, Z, ...)`` in their order, as tokens ``(B, P, W)``."""
        means = F.adaptive_avg_pool1d(noisy.flatten(2), self.places * self.detail)
        pieces = means.view(*means.shape[:2], self.places, self.detail).transpose(1, 2).flatten(2)
        placed: Tensor = self.surroundings(pieces) + self.position
        return placed
