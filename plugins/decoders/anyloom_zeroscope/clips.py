"""Clips as tensors: time, size and value range of frames, and the autoencoder that takes them one by one."""

from __future__ import annotations

import torch
from torch import Tensor

from anyloom.diffusion.autoencoder import AutoencoderSizes, LatentAutoencoder
from anyloom.errors import MediaError
from anyloom.signal.resizing import resized
from anyloom_zeroscope.config import ClipOptions

__all__ = ["FrameAutoencoder", "frame_indices", "to_clip", "to_network"]


def frame_indices(count: int, rate: float, options: ClipOptions) -> Tensor:
    """Which of ``count`` frames at ``rate`` per second is shown at each frame of the options, the last one held.

    >>> frame_indices(7, 24.0, ClipOptions(frames=4, fps=8.0)).tolist()
    [0, 3, 6, 6]
    """
    times = torch.arange(options.frames, dtype=torch.float64) / options.fps
    return (times * rate + 1e-6).long().clamp(max=count - 1)


def to_network(clip: Tensor, rate: float, options: ClipOptions) -> Tensor:
    """Return a clip as float32 ``(frames, 3, height, width)`` in [-1, 1], resized with antialiasing.

    Args:
        clip: ``(T, 3, H, W)``, uint8 in 0..255 or float in 0..1.
        rate: Its frames per second.
        options: What is wanted.

    Raises:
        anyloom.errors.MediaError: It is not a clip of three channels.
    """
    if clip.ndim != 4 or clip.shape[1] != 3 or not len(clip):
        raise MediaError(f"a clip is a tensor (T, 3, H, W), got {tuple(clip.shape)}", fix="convert its frames to RGB")
    frames = clip[frame_indices(len(clip), rate, options)]
    frames = frames.float() / 255 if clip.dtype == torch.uint8 else frames.float()
    return resized(frames, (options.height, options.width), fit=options.fit).clamp(0, 1) * 2 - 1


def to_clip(output: Tensor) -> Tensor:
    """Return network output ``(..., 3, H, W)`` in about [-1, 1] as CPU float frames in [0, 1]."""
    return ((output.float() + 1) / 2).clamp(0, 1).cpu()


class FrameAutoencoder(LatentAutoencoder):
    """The autoencoder of pictures, frame by frame: clips ``(B, T, C, H, W)``, latents ``(B, Z, T, h, w)``.

    Args:
        sizes: Its sizes.
        channels: Channels C of a frame.
        sample_size: Rows of a frame; kept for the record only.
        frames_at_once: Frames that :meth:`encode` and :meth:`decode` take at a time.
    """

    def __init__(self, sizes: AutoencoderSizes, channels: int, sample_size: int, frames_at_once: int) -> None:
        super().__init__(sizes, channels, sample_size)
        self.frames_at_once = frames_at_once

    def encode(self, x: Tensor) -> Tensor:
        """Standardised mean latents ``(B, Z, T, h, w)`` of clips ``(B, T, C, H, W)``."""
        parts = torch.split(x.flatten(0, 1), self.frames_at_once)
        latents = torch.cat([super(FrameAutoencoder, self).encode(part) for part in parts])
        return latents.reshape(*x.shape[:2], *latents.shape[1:]).transpose(1, 2)

    def decode(self, latents: Tensor) -> Tensor:
        """Return clips ``(B, T, C, H, W)`` for standardised latents ``(B, Z, T, h, w)``."""
        by_frame = latents.transpose(1, 2)
        parts = torch.split(by_frame.flatten(0, 1), self.frames_at_once)
        frames = torch.cat([super(FrameAutoencoder, self).decode(part) for part in parts])
        return frames.reshape(*by_frame.shape[:2], *frames.shape[1:])

    def reconstruct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return clips through a sampled latent, and the KL divergence ``(B,)`` per latent number."""
        output, kl = super().reconstruct(x.flatten(0, 1))
        return output.reshape(*x.shape[:2], *output.shape[1:]), kl.reshape(*x.shape[:2]).mean(1)

    def fit_latents(self, x: Tensor) -> None:
        """Take the latents' mean and standard deviation per channel from clips ``(N, T, C, H, W)``."""
        super().fit_latents(x.flatten(0, 1))
