"""A KL autoencoder between a tensor with rows and columns and its small, standardised latents."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from anyloom.interfaces.component import ComponentConfig

__all__ = ["AutoencoderSizes", "LatentAutoencoder"]


class AutoencoderSizes(ComponentConfig):
    """Sizes of a diffusers ``AutoencoderKL``, under its names.

    Args:
        block_out_channels: Width of each level; each level but the last halves the resolution.
        layers_per_block: Residual layers per level.
        latent_channels: Channels of a latent.
        norm_num_groups: Groups of the group norms.
        scaling_factor: Latents are multiplied by this until their own statistics are fitted.
        kl_weight: Weight of the KL term, taken per latent number, when the autoencoder is trained.

    >>> AutoencoderSizes(block_out_channels=(32, 64, 64)).reduction
    4
    """

    block_out_channels: tuple[PositiveInt, ...] = Field((128, 256, 512, 512), min_length=1)
    layers_per_block: PositiveInt = 2
    latent_channels: PositiveInt = 4
    norm_num_groups: PositiveInt = 32
    scaling_factor: PositiveFloat = 0.18215
    kl_weight: float = 2e-5

    @property
    def reduction(self) -> int:
        """How many times fewer rows and columns a latent has."""
        return 1 << (len(self.block_out_channels) - 1)


class LatentAutoencoder(nn.Module):
    """``AutoencoderKL`` (arXiv 2112.10752) with standardised latents.

    Args:
        sizes: Its sizes.
        channels: Channels C of what it reads and gives.
        sample_size: Rows of what it reads; kept for the record only.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, sizes: AutoencoderSizes, channels: int, sample_size: int) -> None:
        super().__init__()
        from diffusers import AutoencoderKL

        levels = len(sizes.block_out_channels)
        self.vae: Any = AutoencoderKL(
            in_channels=channels,
            out_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=sizes.block_out_channels,
            layers_per_block=sizes.layers_per_block,
            latent_channels=sizes.latent_channels,
            norm_num_groups=sizes.norm_num_groups,
            sample_size=sample_size,
            scaling_factor=sizes.scaling_factor,
        )
        self.levels, self.slicing, self.tile = levels, False, 0
        self.register_buffer("latent_mean", torch.zeros(sizes.latent_channels))
        self.register_buffer("latent_std", torch.full((sizes.latent_channels,), 1 / sizes.scaling_factor))

    def encode(self, x: Tensor) -> Tensor:
        """Standardised mean latents ``(B, Z, h, w)`` of ``x`` ``(B, C, H, W)``."""
        return self.standardise(self.moments(x)[0])

    def decode(self, latents: Tensor) -> Tensor:
        """Return ``(B, C, H, W)`` for standardised latents."""
        raw = latents * self.latent_std[:, None, None] + self.latent_mean[:, None, None]
        return self.decode_raw(raw)

    def reconstruct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``x`` through a sampled latent, and the KL divergence ``(B,)`` per latent number."""
        mean, logvar = self.moments(x)
        raw = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).flatten(1).mean(1)
        return self.decode_raw(raw), kl

    def standardise(self, raw: Tensor) -> Tensor:
        """Centre and scale raw latents ``(B, Z, h, w)`` per channel."""
        return (raw - self.latent_mean[:, None, None]) / self.latent_std[:, None, None]

    @torch.no_grad()
    def fit_latents(self, x: Tensor) -> None:
        """Take the latents' mean and standard deviation per channel from inputs ``(N, C, H, W)``.

        The denoiser then sees unit variance, as arXiv 2112.10752 rescales by the component-wise deviation (appendix G).
        """
        raw = torch.cat([self.moments(part)[0] for part in torch.split(x, 64)])
        self.latent_mean.copy_(raw.mean((0, 2, 3)))
        self.latent_std.copy_(raw.std((0, 2, 3)).clamp(min=1e-4))

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance ``(B, Z, h, w)`` of raw latents, float32."""
        self._economise()
        posterior = self.vae.encode(x.to(self.vae.dtype)).latent_dist
        return posterior.mean.float(), posterior.logvar.float()

    def decode_raw(self, raw: Tensor) -> Tensor:
        """Return ``(B, C, H, W)``, float32, for raw latents ``(B, Z, h, w)``."""
        self._economise()
        decoded: Tensor = self.vae.decode(raw.to(self.vae.dtype)).sample.float()
        return decoded

    def _economise(self) -> None:
        """Apply ``slicing`` and ``tile`` (in latents, 0 for none) to the network, which may have been replaced.

        Neighbouring squares are blended in place, which a backward pass does not survive.
        """
        self.vae.use_slicing = self.slicing
        self.vae.use_tiling = self.tile > 0 and not torch.is_grad_enabled()
        if self.vae.use_tiling:
            self.vae.tile_latent_min_size = self.tile
            self.vae.tile_sample_min_size = self.tile << (self.levels - 1)
