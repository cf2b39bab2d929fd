"""The video decoder: features in the place of the caption's tokens, latent diffusion over all frames at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.errors import MediaError
from anyloom_zeroscope.checkpointing import checkpoint_blocks
from anyloom_zeroscope.clips import FrameAutoencoder, frame_indices, to_clip, to_network
from anyloom_zeroscope.config import ZeroscopeConfig
from anyloom_zeroscope.published import read

__all__ = ["ZeroscopeDecoder"]


class ZeroscopeDecoder(LatentDiffusionDecoder):
    """zeroscope v2, a ModelScope text-to-video model (arXiv 2308.06571), under features alone (CoDi-2, section 3.2).

    Features ``(L, D)`` take the place of the caption's CLIP tokens, which have ImageBind's width; every frame reads
    all of them.

    >>> import torch
    >>> from anyloom.interfaces import Condition
    >>> from anyloom_zeroscope.tiny import TINY
    >>> decoder = ZeroscopeDecoder.from_options(TINY).eval()  # very small, with random weights
    >>> few = decoder.Sampling(denoising_steps=2)
    >>> made = decoder.generate(Condition(torch.zeros(2, 2, 8)), seeds=[0, 1], sampling=few)
    >>> [tuple(one.tensor().shape) for one in made]
    [(3, 3, 8, 12), (3, 3, 8, 12)]
    """

    Config = ZeroscopeConfig
    config: ZeroscopeConfig
    modality = "video"
    fixed_options = (*LatentDiffusionDecoder.fixed_options, "unet.")

    def __init__(self, config: ZeroscopeConfig) -> None:
        super().__init__(config)
        clip, reduction = config.clip, config.autoencoder.reduction
        self.autoencoder = FrameAutoencoder(config.autoencoder, 3, clip.height, config.frames_at_once)
        self.latent_shape = (
            int(config.autoencoder.latent_channels),
            int(clip.frames),
            clip.height // reduction,
            clip.width // reduction,
        )
        self.unet = _build_unet(config, self.denoiser_channels)
        self.finish_parts()

    def preprocess(self, media: Media) -> Tensor:
        """Return a clip as float32 ``(frames, 3, height, width)`` in [-1, 1].

        Raises:
            anyloom.errors.MediaError: The frame rate is unknown, or it is no clip.
        """
        rate = media.meta.get("fps", 0)
        if rate <= 0:
            raise MediaError("this clip has no frame rate", where=media.path, fix='set meta["fps"]')
        clip = self.config.clip
        length = media.length()
        if not length:
            raise MediaError("a clip is a tensor (T, 3, H, W), this one has no frames", where=media.path)
        wanted = frame_indices(length, rate, clip).tolist()
        return to_network(media.sample(wanted), clip.fps, clip)  # of a long clip, these frames alone are held

    def example(self) -> Tensor:
        """A grey clip ``(1, frames, 3, height, width)``."""
        clip = self.config.clip
        return torch.zeros(1, clip.frames, 3, clip.height, clip.width)

    def condition(self, features: Tensor, draws: RowDraws, *, sampling: bool = False) -> tuple[Tensor, ...]:
        """The features ``(B, L, D)`` themselves."""
        return (features,)

    def null_condition(self) -> tuple[Tensor, ...]:
        """The trained null ``(L, D)``."""
        return (self.null,)

    def denoise(self, noisy: Tensor, times: Tensor, *condition: Tensor) -> Tensor:
        """Run the network on latents ``(B, Z, T, h, w)``; see the base class."""
        output: Tensor = self.unet(noisy, times, condition[0], return_dict=False)[0]
        return output

    def to_media(self, decoded: Tensor, seeds: Sequence[int], features: Tensor) -> list[Media]:
        """Make clips, float32 ``(T, 3, H, W)`` in [0, 1] on the CPU, with their frame rate."""
        meta = {"fps": float(self.config.clip.fps)}
        pairs = zip(to_clip(decoded), features.detach().float().cpu())
        return [Media(self.modality, data=clip, meta=meta, features=feature) for clip, feature in pairs]

    def enable_checkpointing(self) -> None:
        """Turn on gradient checkpointing, which diffusers' network does not have."""
        checkpoint_blocks(self.unet)

    def load_published(self, source: str) -> None:
        """Load the layout of ``cerspense/zeroscope_v2_576w``.

        Raises:
            anyloom.errors.CheckpointError: A part is missing, or does not agree with the decoder's options.
        """
        published = read(self.config, source, self.unet, self.autoencoder.vae)
        self.take_networks(published.networks, published.null)
        self.take_schedule(published.schedule)

    def portable_options(self, folder: Path, name: str) -> dict[str, Any]:
        """The null is among the saved tensors."""
        return {**super().portable_options(folder, name), "empty_prompt": None}


def _build_unet(config: ZeroscopeConfig, channels: int) -> Any:
    from diffusers import UNet3DConditionModel

    sizes, attends = config.unet, config.unet.attends
    return UNet3DConditionModel(
        sample_size=config.clip.height // config.autoencoder.reduction,
        in_channels=channels,
        out_channels=config.autoencoder.latent_channels,
        down_block_types=tuple("CrossAttnDownBlock3D" if a else "DownBlock3D" for a in attends),
        up_block_types=tuple("CrossAttnUpBlock3D" if a else "UpBlock3D" for a in reversed(attends)),
        block_out_channels=sizes.block_out_channels,
        layers_per_block=sizes.layers_per_block,
        cross_attention_dim=config.dim,
        attention_head_dim=sizes.attention_head_dim,
        norm_num_groups=sizes.norm_num_groups,
    )
