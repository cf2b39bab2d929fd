"""The image decoder: features take the place of the words' hidden states in cross-attention."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.diffusion.autoencoder import LatentAutoencoder
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom_sd.config import SDConfig
from anyloom_sd.pictures import to_network, to_picture

__all__ = ["SDDecoder"]


class SDDecoder(LatentDiffusionDecoder):
    """Stable Diffusion (arXiv 2112.10752) with cross-attention on features ``(L, D)``.

    The defaults fit the raw pooled feature of CLIP ViT-L/14 and the published image variations of Stable Diffusion
    1.x, which were trained on it with zeros as null (though on pictures that were resized without antialiasing).
    Weights trained on words fit an encoder only after training.
    """

    Config = SDConfig
    config: SDConfig
    modality = "image"
    fixed_options = (*LatentDiffusionDecoder.fixed_options, "unet.")

    def __init__(self, config: SDConfig) -> None:
        super().__init__(config)
        size = int(config.picture_size)
        side = size // config.autoencoder.reduction
        self.autoencoder = LatentAutoencoder(config.autoencoder, 3, size)
        self.latent_shape = (int(config.autoencoder.latent_channels), side, side)
        self.unet = _build_unet(config, side, self.denoiser_channels)
        self.settle()

    def preprocess(self, media: Media) -> Tensor:
        """Return a picture as float32 ``(3, size, size)`` in [-1, 1], resized with antialiasing.

        Raises:
            anyloom.errors.MediaError: It is no picture of three channels.
        """
        return to_network(media.tensor(), self.config.picture_size, media.path)

    def condition(self, features: Tensor, generators: Sequence[torch.Generator] | None = None) -> Tensor:
        """The features ``(B, L, D)`` themselves."""
        return features

    def null_condition(self) -> Tensor:
        """The trained null ``(L, D)``."""
        return self.null

    def denoise(self, noisy: Tensor, timesteps: Tensor, condition: Tensor) -> Tensor:
        """Run the network on latents ``(B, Z, h, w)``; see the base class."""
        output: Tensor = self.unet(noisy, timesteps, condition, return_dict=False)[0]
        return output

    def to_media(self, decoded: Tensor, seeds: Sequence[int], features: Tensor) -> list[Media]:
        """Make pictures, float32 ``(3, H, W)`` in [0, 1] on the CPU."""
        pairs = zip(to_picture(decoded), features.detach().float().cpu())
        return [Media(self.modality, data=picture, features=feature) for picture, feature in pairs]

    def load_published(self, source: str) -> None:
        """Load the layout of ``stable-diffusion-v1-5/stable-diffusion-v1-5``, with or without a text encoder."""
        from anyloom_sd.published import load

        load(self, source)

    def portable_options(self, folder: Path, name: str) -> dict[str, Any]:
        """The null is among the saved tensors."""
        return {**super().portable_options(folder, name), "empty_prompt": None}


def _build_unet(config: SDConfig, side: int, channels: int) -> Any:
    from diffusers import UNet2DConditionModel

    sizes, attends = config.unet, config.unet.attends
    return UNet2DConditionModel(
        sample_size=side,
        in_channels=channels,
        out_channels=config.autoencoder.latent_channels,
        down_block_types=tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attends),
        up_block_types=tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attends)),
        block_out_channels=sizes.block_out_channels,
        layers_per_block=sizes.layers_per_block,
        cross_attention_dim=config.dim,
        attention_head_dim=sizes.attention_head_dim,
        norm_num_groups=sizes.norm_num_groups,
        use_linear_projection=sizes.use_linear_projection,
    )
