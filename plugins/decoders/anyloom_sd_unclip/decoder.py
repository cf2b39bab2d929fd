"""The image decoder: a noised feature as class embedding, constant text tokens, latent diffusion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.diffusion.augmentation import NoiseAugmentation
from anyloom.diffusion.autoencoder import LatentAutoencoder
from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.pictures import to_network, to_pictures
from anyloom.diffusion.unet import build_unet
from anyloom_sd_unclip.config import SDUnCLIPConfig
from anyloom_sd_unclip.published import read

__all__ = ["SDUnCLIPDecoder"]


class SDUnCLIPDecoder(LatentDiffusionDecoder):
    """Stable Diffusion 2.1 unCLIP with the caption left empty (CoDi-2, section 3.2).

    A feature ``(1, D)`` is noised to a level and followed by the level's embedding: the network's class label
    ``(2 D,)``. The null is a trained feature outside the noise augmentation, with zeros for its level; zeros
    throughout are what the published model was trained with.

    >>> import torch
    >>> from anyloom.interfaces import Condition
    >>> from anyloom_sd_unclip.tiny import TINY
    >>> decoder = SDUnCLIPDecoder.from_options(TINY).eval()  # very small, with random weights
    >>> few = decoder.Sampling(denoising_steps=2)
    >>> made = decoder.generate(Condition(torch.zeros(2, 1, 8)), seeds=[0, 1], sampling=few)
    >>> [tuple(one.tensor().shape) for one in made]
    [(3, 16, 16), (3, 16, 16)]
    """

    Config = SDUnCLIPConfig
    config: SDUnCLIPConfig
    modality = "image"
    fixed_options = (*LatentDiffusionDecoder.fixed_options, "unet.", "noise.num_levels")
    context: Tensor

    def __init__(self, config: SDUnCLIPConfig) -> None:
        super().__init__(config)
        height, width = config.height_width
        reduction = config.autoencoder.reduction
        self.autoencoder = LatentAutoencoder(config.autoencoder, 3, height)
        self.latent_shape = (int(config.autoencoder.latent_channels), height // reduction, width // reduction)
        self.augmentation = NoiseAugmentation(config.tokens * config.dim, config.noise.num_levels)
        self.register_buffer("context", torch.zeros(config.context_tokens, config.unet.cross_attention_dim))
        self.unet = build_unet(
            config.unet,
            channels=self.denoiser_channels,
            out_channels=self.latent_shape[0],
            context_dim=config.unet.cross_attention_dim,
            side=self.latent_shape[1],
            class_embed_type="projection",
            projection_class_embeddings_input_dim=2 * config.tokens * config.dim,
        )
        self.finish_parts()

    def preprocess(self, media: Media) -> Tensor:
        """Return a picture as float32 ``(3, height, width)`` in [-1, 1], resized with antialiasing.

        Raises:
            anyloom.errors.MediaError: It is no picture of three channels.
        """
        return to_network(media.tensor(), self.config, media.path)

    def example(self) -> Tensor:
        """A grey picture ``(1, 3, height, width)``."""
        return torch.zeros(1, 3, *self.config.height_width)

    def fit(self, features: Tensor, latents: Tensor) -> None:
        """Standardise the noise augmentation with training features ``(N, L, D)``."""
        self.augmentation.fit(features.flatten(1))

    def condition(self, features: Tensor, draws: RowDraws, *, sampling: bool = False) -> tuple[Tensor, ...]:
        """Class labels ``(B, 2 L D)``: the noised feature and the embedding of its level."""
        vectors = features.flatten(1).float()
        levels = self.config.noise
        if sampling:
            level = torch.full((len(vectors),), levels.sampling, device=vectors.device)
        else:
            level = draws.integers(levels.train[0], levels.train[1] + 1)
        return (self.augmentation(vectors, level, draws.normal(vectors.shape[1:])),)

    def null_condition(self) -> tuple[Tensor, ...]:
        """Class label ``(2 L D,)`` of a dropped feature."""
        vector = self.null.flatten()
        return (torch.cat([vector, torch.zeros_like(vector)]),)

    def denoise(self, noisy: Tensor, times: Tensor, *condition: Tensor) -> Tensor:
        """Run the network on latents ``(B, Z, h, w)``; see the base class."""
        context = self.context.to(noisy).expand(len(noisy), -1, -1)
        output: Tensor = self.unet(noisy, times, context, class_labels=condition[0], return_dict=False)[0]
        return output

    def to_media(self, decoded: Tensor, seeds: Sequence[int], features: Tensor) -> list[Media]:
        """Make pictures, float32 ``(3, H, W)`` in [0, 1] on the CPU."""
        return to_pictures(decoded, features, self.modality)

    def load_published(self, source: str) -> None:
        """Load the layout of ``stabilityai/stable-diffusion-2-1-unclip``."""
        published = read(self.config, source, self.unet, self.autoencoder.vae)
        self.take_networks(published.networks)
        self.take_schedule(published.schedule)
        with torch.no_grad():
            self.augmentation.mean.copy_(published.mean)
            self.augmentation.std.copy_(published.std)
            self.context.copy_(published.context)

    def portable_options(self, folder: Path, name: str) -> dict[str, Any]:
        """The context is among the saved tensors."""
        return {**super().portable_options(folder, name), "empty_prompt": None}
