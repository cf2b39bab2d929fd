"""The image decoder: a noised feature as class embedding, constant text tokens, latent diffusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from anyloom.conversation.segments import Media
from anyloom.diffusion.autoencoder import LatentAutoencoder
from anyloom.diffusion.condition import NoiseAugmentation
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.sampling import row_noise
from anyloom_sd_unclip.config import SDUnCLIPConfig
from anyloom_sd_unclip.pictures import opponent, to_network, to_picture

__all__ = ["SDUnCLIPDecoder"]


class SDUnCLIPDecoder(LatentDiffusionDecoder):
    """Stable Diffusion 2.1 unCLIP with the caption left empty (CoDi-2, section 3.2).

    A feature ``(1, D)`` is noised to a level and followed by the level's embedding: the network's class label
    ``(2 D,)``. The null is a trained feature outside the noise augmentation, with zeros for its level; zeros
    throughout are what the published model was trained with.
    """

    Config = SDUnCLIPConfig
    config: SDUnCLIPConfig
    modality = "image"
    fixed_options = (*LatentDiffusionDecoder.fixed_options, "unet.", "noise.num_levels")
    context: Tensor

    def __init__(self, config: SDUnCLIPConfig) -> None:
        super().__init__(config)
        size = int(config.picture_size)
        self.autoencoder = LatentAutoencoder(config.autoencoder, 3, size)
        side = size // config.autoencoder.reduction
        self.latent_shape = (int(config.autoencoder.latent_channels), side, side)
        self.augmentation = NoiseAugmentation(config.tokens * config.dim, config.noise.num_levels)
        context = torch.zeros(config.context_tokens, config.unet.cross_attention_dim)
        if config.learn_context:
            self.context = nn.Parameter(context)
        else:
            self.register_buffer("context", context)
        self.unet = _build_unet(config, side, self.denoiser_channels)
        self.settle()

    def preprocess(self, media: Media) -> Tensor:
        """Return a picture as float32 ``(3, size, size)`` in [-1, 1], resized with antialiasing."""
        return to_network(media.tensor(), self.config.picture_size)

    def fit_features(self, features: Tensor) -> None:
        """Standardise the noise augmentation with training features ``(N, L, D)``."""
        super().fit_features(features)
        self.augmentation.fit(features.flatten(1))

    def condition(self, features: Tensor, generators: Sequence[torch.Generator] | None = None) -> Tensor:
        """Class labels ``(B, 2 L D)``: the noised feature and the embedding of its level."""
        vectors = features.flatten(1).float()
        if generators is None:
            low, high = self.config.noise.train
            levels = torch.randint(low, high + 1, (len(vectors),), device=vectors.device)
            noise = torch.randn_like(vectors)
        else:
            levels = torch.full((len(vectors),), self.config.noise.sampling, device=vectors.device)
            noise = row_noise(vectors.shape[1:], generators, vectors)
        labels: Tensor = self.augmentation(vectors, levels, noise)
        return labels

    def null_condition(self) -> Tensor:
        """Class label ``(2 L D,)`` of a dropped feature."""
        vector = self.null.flatten()
        return torch.cat([vector, torch.zeros_like(vector)])

    def denoise(self, noisy: Tensor, timesteps: Tensor, condition: Tensor) -> Tensor:
        """Run the network on latents ``(B, Z, h, w)``; see the base class."""
        context = self.context.to(noisy).expand(len(noisy), -1, -1)
        output: Tensor = self.unet(noisy, timesteps, context, class_labels=condition, return_dict=False)[0]
        return output

    def reconstruction_terms(self, output: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """L1 and L2 on opponent-colour axes, with more weight on colour.

        With plain RGB errors lightness is learned first and one colour axis after another long after it.
        """
        error = opponent(output - targets)
        weights = error.new_tensor([1.0, self.config.colour_weight, self.config.colour_weight])
        l1, l2 = error.abs().mean((0, 2, 3)), error.square().mean((0, 2, 3))
        return {"l1": (l1 * weights).mean(), "l2": (l2 * weights).mean()}

    def to_media(self, decoded: Tensor, seeds: Sequence[int], features: Tensor) -> list[Media]:
        """Make pictures, float32 ``(3, H, W)`` in [0, 1] on the CPU."""
        pairs = zip(to_picture(decoded), features.detach().float().cpu())
        return [Media(self.modality, data=picture, features=feature) for picture, feature in pairs]

    def load_published(self, source: str) -> None:
        """Load the layout of ``stabilityai/stable-diffusion-2-1-unclip``."""
        from anyloom_sd_unclip.published import load

        load(self, source)


def _build_unet(config: SDUnCLIPConfig, side: int, channels: int) -> Any:
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
        cross_attention_dim=sizes.cross_attention_dim,
        attention_head_dim=sizes.attention_head_dim,
        norm_num_groups=sizes.norm_num_groups,
        use_linear_projection=sizes.use_linear_projection,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=2 * config.tokens * config.dim,
    )
