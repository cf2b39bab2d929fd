"""One side of two coupled decoders listens to the other: its condition attends to what the other denoises.

Shape legend: B samples, L feature steps, D feature dim, Z latent channels, P places, W width of the attention.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyloom.diffusion.augmentation import sinusoids

__all__ = ["Listener"]


class Listener(nn.Module):
    """Adds to one side's features what they attend to on the other side: its features and its noisy latents.

    Starts as the identity.

    Args:
        dim: Feature dim ``D`` of this side.
        other_dim: Feature dim of the other side.
        other_channels: Latent channels ``Z`` of the other side.
        width: W.
        heads: Heads of the attention.
        places: P, pieces that noisy latents are cut into along their first axis.
        detail: Means per piece and latent channel.

    >>> sizes = {"width": 8, "heads": 2, "places": 4, "detail": 1}
    >>> listener = Listener(dim=6, other_dim=5, other_channels=3, **sizes)
    >>> features = torch.ones(2, 1, 6)
    >>> heard = listener(features, torch.zeros(2, 1, 5), torch.zeros(2, 3, 4, 4), torch.tensor([1, 2]))
    >>> torch.equal(heard, features)  # it starts as the identity
    True
    """

    def __init__(
        self, *, dim: int, other_dim: int, other_channels: int, width: int, heads: int, places: int, detail: int
    ) -> None:
        super().__init__()
        self.places, self.detail = places, detail
        self.query = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, width))
        self.other = nn.Sequential(nn.LayerNorm(other_dim), nn.Linear(other_dim, width))
        self.surroundings = nn.Linear(other_channels * detail, width)
        self.position = nn.Parameter(0.02 * torch.randn(places, width))
        self.time = nn.Linear(width, width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.change = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, dim))
        for parameter in self.change[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, other: Tensor, noisy: Tensor, times: Tensor) -> Tensor:
        """Return features ``(B, L, D)`` in their own precision.

        Args:
            features: ``(B, L, D)`` of this side.
            other: Features of the other side.
            noisy: Noisy latents ``(B, Z, ...)`` of the other side.
            times: Diffusion times ``(B,)``, the same for both.
        """
        dtype = self.position.dtype
        time = self.time(sinusoids(times, self.position.shape[1]).to(dtype))[:, None]
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
