"""An autoencoder that begins as the best linear one, principal components, and a network that corrects it."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from anyloom.diffusion.autoencoder import AutoencoderSizes, LatentAutoencoder

__all__ = ["LinearAutoencoder", "LinearPath", "LinearSizes"]


class LinearSizes(AutoencoderSizes):
    """Sizes of the autoencoder.

    Args:
        patch: Fold squares of ``patch`` by ``patch`` values into channels first; 2 makes a level cheaper.
    """

    patch: PositiveInt = 1

    @property
    def reduction(self) -> int:
        """How many times fewer rows and columns a latent has."""
        return int(self.patch) << (len(self.block_out_channels) - 1)


class LinearAutoencoder(LatentAutoencoder):
    """The autoencoder of latent diffusion behind a patch fold, with a linear path beside it.

    Args:
        sizes: Its sizes.
        channels: Channels C of what it reads and gives.
        sample_size: Rows of what it reads; kept for the record only.
    """

    def __init__(self, sizes: LinearSizes, channels: int, sample_size: int) -> None:
        folded = channels * sizes.patch**2
        super().__init__(sizes, folded, sample_size // sizes.patch)
        self.patch = int(sizes.patch)
        self.linear = LinearPath(folded, sizes.latent_channels, len(sizes.block_out_channels))
        for layer in (self.vae.encoder.conv_out, self.vae.decoder.conv_out):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    @torch.no_grad()
    def fit_linear(self, x: Tensor) -> None:
        """Fit the linear path to inputs ``(N, C, H, W)``, and make the posterior narrow."""
        self.linear.fit(F.pixel_unshuffle(x, self.patch))
        half = len(self.vae.quant_conv.bias) // 2
        nn.init.zeros_(self.vae.quant_conv.weight[half:])
        nn.init.zeros_(self.vae.quant_conv.bias[:half])
        nn.init.constant_(self.vae.quant_conv.bias[half:], -4.0)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance ``(B, Z, h, w)`` of raw latents, float32."""
        folded = F.pixel_unshuffle(x, self.patch)
        mean, logvar = super().moments(folded)
        return mean + self.linear.down(folded), logvar

    def decode_raw(self, raw: Tensor) -> Tensor:
        """Return ``(B, C, H, W)``, float32, for raw latents ``(B, Z, h, w)``."""
        return F.pixel_shuffle(super().decode_raw(raw) + self.linear.up(raw), self.patch)


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
