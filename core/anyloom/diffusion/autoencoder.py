"""A KL autoencoder between a tensor with rows and columns and its small, standardised latents."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from anyloom.interfaces.component import ComponentConfig

__all__ = ["AutoencoderSizes", "LatentAutoencoder"]


class AutoencoderSizes(ComponentConfig):
    """Sizes of a diffusers ``AutoencoderKL``, under its names.

    Args:
        block_out_channels: Width of each level; each level but the last halves the resolution.
        layers_per_block: Residual layers per level.
        latent_channels: Channels of a latent.
        norm_num_groups: Groups of the group norms.
        patch: Fold squares of ``patch`` by ``patch`` values into channels first; 2 makes a level cheaper.
        scaling_factor: Latents are multiplied by this until their own statistics are fitted.
        linear: Add a linear path, the principal components of the folded squares, fitted in closed form before
            training; the network then learns a correction of it.
        kl_weight: Weight of the KL term, taken per latent number, when the autoencoder is trained.
    """

    block_out_channels: tuple[PositiveInt, ...] = (128, 256, 512, 512)
    layers_per_block: PositiveInt = 2
    latent_channels: PositiveInt = 4
    norm_num_groups: PositiveInt = 32
    patch: PositiveInt = 1
    scaling_factor: PositiveFloat = 0.18215
    linear: bool = False
    kl_weight: float = 2e-5

    @property
    def reduction(self) -> int:
        """How many times fewer rows and columns a latent has."""
        return int(self.patch) << (len(self.block_out_channels) - 1)


class LatentAutoencoder(nn.Module):
    """``AutoencoderKL`` (arXiv 2112.10752) behind an optional patch fold, with standardised latents.

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
        folded = channels * sizes.patch**2
        self.patch = int(sizes.patch)
        self.vae: Any = AutoencoderKL(
            in_channels=folded,
            out_channels=folded,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=sizes.block_out_channels,
            layers_per_block=sizes.layers_per_block,
            latent_channels=sizes.latent_channels,
            norm_num_groups=sizes.norm_num_groups,
            sample_size=sample_size // sizes.patch,
            scaling_factor=sizes.scaling_factor,
        )
        self.linear = LinearPath(folded, sizes.latent_channels, levels) if sizes.linear else None
        if self.linear is not None:
            for layer in (self.vae.encoder.conv_out, self.vae.decoder.conv_out):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
        self.register_buffer("latent_mean", torch.zeros(sizes.latent_channels))
        self.register_buffer("latent_std", torch.full((sizes.latent_channels,), 1 / sizes.scaling_factor))

    def encode(self, x: Tensor) -> Tensor:
        """Standardised mean latents ``(B, Z, h, w)`` of ``x`` ``(B, C, H, W)``."""
        return self.standardise(self._moments(x)[0])

    def decode(self, latents: Tensor) -> Tensor:
        """Return ``(B, C, H, W)`` for standardised latents."""
        raw = latents * self.latent_std[:, None, None] + self.latent_mean[:, None, None]
        return self._decode_raw(raw)

    def reconstruct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``x`` through a sampled latent, and the KL divergence ``(B,)`` per latent number."""
        mean, logvar = self._moments(x)
        raw = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).flatten(1).mean(1)
        return self._decode_raw(raw), kl

    def standardise(self, raw: Tensor) -> Tensor:
        """Centre and scale raw latents per channel."""
        return (raw - self.latent_mean[:, None, None]) / self.latent_std[:, None, None]

    @torch.no_grad()
    def fit_linear(self, x: Tensor) -> None:
        """Fit the linear path, where there is one, to inputs ``(N, C, H, W)``, and make the posterior narrow."""
        if self.linear is not None:
            self.linear.fit(F.pixel_unshuffle(x, self.patch))
            half = len(self.vae.quant_conv.bias) // 2
            nn.init.zeros_(self.vae.quant_conv.weight[half:])
            nn.init.zeros_(self.vae.quant_conv.bias[:half])
            nn.init.constant_(self.vae.quant_conv.bias[half:], -4.0)

    @torch.no_grad()
    def fit_latents(self, x: Tensor) -> None:
        """Take the latents' mean and standard deviation per channel from inputs ``(N, C, H, W)``."""
        raw = torch.cat([self._moments(part)[0] for part in torch.split(x, 64)])
        self.latent_mean.copy_(raw.mean((0, 2, 3)))
        self.latent_std.copy_(raw.std((0, 2, 3)).clamp(min=1e-4))

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance ``(B, Z, h, w)`` of raw latents, float32."""
        folded = F.pixel_unshuffle(x, self.patch)
        posterior = self.vae.encode(folded.to(self.vae.dtype)).latent_dist
        mean = posterior.mean.float()
        return (mean if self.linear is None else mean + self.linear.down(folded)), posterior.logvar.float()

    def _decode_raw(self, raw: Tensor) -> Tensor:
        folded = self.vae.decode(raw.to(self.vae.dtype)).sample.float()
        folded = folded if self.linear is None else folded + self.linear.up(raw)
        return F.pixel_shuffle(folded, self.patch)


class LinearPath(nn.Module):
    """Principal components of squares, of unit variance: the best linear autoencoder, in closed form.

    Args:
        channels: Channels C of what comes in.
        latent_channels: Components Z kept of each square.
        levels: Levels of the autoencoder beside it; a square has ``2 ** (levels - 1)`` rows and columns.
    """

    encoder: Tensor
    decoder: Tensor
    offset: Tensor

    def __init__(self, channels: int, latent_channels: int, levels: int) -> None:
        super().__init__()
        self.fold = 1 << (levels - 1)
        numbers = channels * self.fold**2
        self.register_buffer("encoder", torch.zeros(latent_channels, numbers))
        self.register_buffer("decoder", torch.zeros(numbers, latent_channels))
        self.register_buffer("offset", torch.zeros(numbers))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Fit to inputs ``(N, C, H, W)``."""
        squares = F.pixel_unshuffle(x, self.fold).movedim(1, -1).flatten(0, -2).double()
        self.offset.copy_(squares.mean(0))
        variance, basis = torch.linalg.eigh(torch.cov(squares.T))
        count = len(self.encoder)
        size = variance.flip(0)[:count].clamp_min(1e-8).sqrt()
        basis = basis.flip(1)[:, :count]
        self.encoder.copy_((basis / size).T)
        self.decoder.copy_(basis * size)

    def down(self, x: Tensor) -> Tensor:
        """Components ``(B, Z, h, w)`` of ``x`` ``(B, C, H, W)``."""
        squares = F.pixel_unshuffle(x, self.fold).float() - self.offset.float()[:, None, None]
        return F.conv2d(squares, self.encoder.float()[:, :, None, None])

    def up(self, components: Tensor) -> Tensor:
        """Return ``(B, C, H, W)`` for components ``(B, Z, h, w)``."""
        squares = F.conv2d(components.float(), self.decoder.float()[:, :, None, None])
        squares = squares + self.offset.float()[:, None, None]
        return F.pixel_shuffle(squares, self.fold)
