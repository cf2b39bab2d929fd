"""The small video decoder: that of pictures on every frame, with convolutions over time between its layers.

So zeroscope was made (ModelScope, arXiv 2308.06571): a decoder of pictures, widened by layers over
time that begin as the identity. Before any training on clips it draws each frame as a picture.

Shape legend: B clips, L features of a clip, T frames, D feature dim, Z latent channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from anyloom.conversation.pixels import checked_pixels
from anyloom.conversation.segments import Media
from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.guidance import Shown
from anyloom.diffusion.pictures import to_picture
from anyloom.errors import MediaError
from anyloom.signal.resizing import resized
from anyloom_mini.linear_autoencoder import LinearAutoencoder
from anyloom_mini.picture_decoder import MiniPicture

__all__ = ["MiniClip", "spread"]


class _FramewiseAutoencoder(LinearAutoencoder):
    """The autoencoder of pictures on clips ``(B, T, C, H, W)``, whose latents are ``(B, Z, T, h, w)``."""

    def encode(self, x: Tensor) -> Tensor:
        """Standardised mean latents of clips."""
        return _clips(super().encode(x.flatten(0, 1)), x.shape[1]).transpose(1, 2)

    def decode(self, latents: Tensor) -> Tensor:
        """Return clips for standardised latents."""
        return _clips(super().decode(_frames(latents)), latents.shape[2])

    def reconstruct(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return clips through a sampled latent, and the KL divergence ``(B,)`` per latent number."""
        output, kl = super().reconstruct(x.flatten(0, 1))
        return _clips(output, x.shape[1]), _clips(kl, x.shape[1]).mean(1)

    def fit_linear(self, x: Tensor) -> None:
        """Fit the linear path to clips."""
        super().fit_linear(x.flatten(0, 1))

    def fit_latents(self, x: Tensor) -> None:
        """Take the latents' mean and standard deviation from clips."""
        super().fit_latents(x.flatten(0, 1))


class MiniClip(MiniPicture):
    """Every frame is drawn from the feature of its own time, and the frames see each other while they are denoised.

    >>> import torch
    >>> from anyloom.interfaces import Condition
    >>> from anyloom_mini.tiny import CLIP
    >>> decoder = MiniClip.from_options(CLIP).eval()  # very small, with random weights
    >>> few = decoder.Sampling(denoising_steps=2)
    >>> made = decoder.generate(Condition(torch.zeros(2, 2, 8)), seeds=[0, 1], sampling=few)
    >>> [tuple(one.tensor().shape) for one in made]
    [(4, 3, 16, 16), (4, 3, 16, 16)]
    """

    class Config(MiniPicture.Config):
        """Options, besides those of the decoder of pictures.

        Args:
            frames: Frames T of a clip; of others so many are taken, at equal distances from end to end.
            fps: Frames per second of the clips that are made.
        """

        frames: PositiveInt = 8
        fps: PositiveFloat = 3.125

    config: Config
    modality = "video"
    autoencoder_class = _FramewiseAutoencoder
    fixed_options = (*MiniPicture.fixed_options, "frames")
    over_features: Tensor

    @property
    def numbers(self) -> int:
        """A frame is drawn from one feature."""
        return int(self.config.dim)

    def add_networks(self) -> None:
        """Make the parts of the decoder of pictures, and layers over time behind each residual block."""
        from diffusers.models.resnet import ResnetBlock2D, TemporalConvLayer

        super().add_networks()
        frames, groups = int(self.config.frames), int(self.config.unet.norm_num_groups)
        channels, *place = self.latent_shape
        self.latent_shape = (channels, frames, *place)
        self.register_buffer("over_features", spread(int(self.config.tokens), frames), persistent=False)
        for block in self.unet.modules():
            if isinstance(block, ResnetBlock2D):
                block.over_time = TemporalConvLayer(block.out_channels, norm_num_groups=groups)
                block.frames = frames
                block.register_forward_hook(_over_time)

    def preprocess(self, media: Media) -> Tensor:
        """Return a clip as float32 ``(T, 3, height, width)`` in [-1, 1].

        Raises:
            anyloom.errors.MediaError: It is no clip of three channels.
        """
        count, length = int(self.config.frames), media.length()
        if not length:
            raise MediaError("a clip is a tensor (T, 3, H, W), this one has no frames", where=media.path or media.key)
        pixels = media.sample([(2 * index + 1) * length // (2 * count) for index in range(count)])
        pixels = checked_pixels(pixels, media.path or media.key, 4)
        values = pixels.float() / (255 if pixels.dtype == torch.uint8 else 1)
        return 2 * resized(values, self.config.height_width, fit=self.config.fit).clamp(0, 1) - 1

    def example(self) -> Tensor:
        """A grey clip ``(1, T, 3, height, width)``."""
        return super().example()[:, None].expand(-1, int(self.config.frames), -1, -1, -1).contiguous()

    def fit(self, features: Tensor, latents: Tensor) -> None:
        """Fit sketch and noise to the frames of training clips: features ``(N, L, D)``, latents ``(N, Z, T, ...)``."""
        self.feature_std.copy_(features.flatten(1).float().std(0).clamp(min=1e-4))
        rows = self.by_frame(features).flatten(0, 1)
        noise = self.config.feature_noise * self.feature_std.view(features.shape[1:]).mean(0)
        self.sketch.fit(rows[:, None], _frames(latents), noise)
        self.augmentation.fit(rows)

    def by_frame(self, features: Tensor) -> Tensor:
        """Features of frames ``(..., T, D)``, between those of the clip's stretches ``(..., L, D)``."""
        return self.over_features.to(features) @ features

    def condition(self, features: Tensor, draws: RowDraws, *, sampling: bool = False) -> tuple[Tensor, ...]:
        """Class labels of frames ``(B, T, 2 D)``, and their drawings with variances ``(B, T, 2 Z ...)``."""
        rows = self.by_frame(self.noised(features, draws, sampling=sampling).float())
        flat, noise = rows.flatten(0, 1), draws.normal(rows.shape[1:]).flatten(0, 1)
        labels = self.augmentation(flat, torch.zeros(len(flat), dtype=torch.long, device=flat.device), noise)
        drawn = self.sketch.draw(flat[:, None])
        return _clips(labels, rows.shape[1]), _clips(drawn, rows.shape[1])

    def null_condition(self) -> tuple[Tensor, ...]:
        """Class labels of a dropped feature, and the drawing of nothing, for each frame."""
        rows = self.by_frame(self.null)
        return torch.cat([rows, torch.zeros_like(rows)], 1), self.sketch.null.expand(len(rows), -1)

    def predict(self, noisy: Tensor, times: Tensor, shown: Shown) -> Tensor:
        """The prediction ``(B, Z, T, h, w)`` of the decoder of pictures, whose network sees all frames of a clip."""
        frames = self.latent_shape[1]
        own = tuple(part.flatten(0, 1) for part in shown.features)
        rows = Shown(own, _frames(shown.reference))
        predicted = super().predict(_frames(noisy), times.repeat_interleave(frames), rows)
        return _clips(predicted, frames).transpose(1, 2)

    def reconstruction_terms(self, output: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Those of pictures, over all frames."""
        return super().reconstruction_terms(output.flatten(0, 1), targets.flatten(0, 1))

    def to_media(self, decoded: Tensor, seeds: Sequence[int], features: Tensor) -> list[Media]:
        """Make clips, float32 ``(T, 3, H, W)`` in [0, 1] on the CPU, with their frame rate."""
        meta = {"fps": float(self.config.fps)}
        pairs = zip(to_picture(decoded), features.detach().float().cpu(), strict=True)
        return [Media(self.modality, data=clip, meta=meta, features=feature) for clip, feature in pairs]


def spread(count: int, frames: int) -> Tensor:
    """Weights ``(T, L)`` that give each frame's feature from those of L stretches of time, on straight lines between.

    Beyond the middles of the first and the last stretch the lines go on.

    >>> spread(2, 4)
    tensor([[ 1.2500, -0.2500],
            [ 0.7500,  0.2500],
            [ 0.2500,  0.7500],
            [-0.2500,  1.2500]])
    """
    if count == 1:
        return torch.ones(frames, 1)
    at = (torch.arange(frames) + 0.5) * count / frames - 0.5  # in stretches, from the middle of the first
    left = at.floor().clamp(0, count - 2).long()
    weights = torch.zeros(frames, count)
    weights.scatter_(1, left[:, None], (1 - (at - left))[:, None])
    return weights.scatter_(1, left[:, None] + 1, (at - left)[:, None])


def _frames(latents: Tensor) -> Tensor:
    """Clips ``(B, Z, T, h, w)`` as pictures ``(B T, Z, h, w)``."""
    return latents.transpose(1, 2).flatten(0, 1)


def _clips(rows: Tensor, frames: int) -> Tensor:
    """Rows ``(B T, ...)`` of frames, by clips: ``(B, T, ...)``."""
    return rows.reshape(-1, frames, *rows.shape[1:])


def _over_time(block: Any, inputs: Any, output: Tensor) -> Tensor:
    """What a residual block gives, after its layer over time."""
    changed: Tensor = block.over_time(output, num_frames=block.frames)
    return changed
