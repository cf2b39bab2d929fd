"""The image decoder: features take the place of the words' hidden states in cross-attention."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.diffusion.autoencoder import LatentAutoencoder
from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.pictures import to_network, to_pictures
from anyloom.diffusion.unet import build_unet
from anyloom_sd.config import SDConfig
from anyloom_sd.published import read

__all__ = ["SDDecoder"]


class SDDecoder(LatentDiffusionDecoder):
    """Stable Diffusion (arXiv 2112.10752) with cross-attention on features ``(L, D)``.

    The defaults fit the raw pooled feature of CLIP ViT-L/14 and the published image variations of Stable Diffusion
    1.x, which were trained on it with zeros as null (though on pictures that were resized without antialiasing).
    Weights trained on words fit an encoder only after training.

    >>> import torch
    >>> from anyloom.interfaces import Condition
    >>> from anyloom_sd.tiny import TINY
    >>> decoder = SDDecoder.from_options(TINY).eval()  # very small, with random weights
    >>> few = decoder.Sampling(denoising_steps=2)
    >>> made = decoder.generate(Condition(torch.zeros(2, 3, 8)), seeds=[0, 1], sampling=few)
    >>> [tuple(one.tensor().shape) for one in made]
    [(3, 16, 16), (3, 16, 16)]
    """

    Config = SDConfig
    config: SDConfig
    modality = "image"
    fixed_options = (*LatentDiffusionDecoder.fixed_options, "unet.")

    def __init__(self, config: SDConfig) -> None:
        super().__init__(config)
        height, width = config.height_width
        reduction = config.autoencoder.reduction
        self.autoencoder = LatentAutoencoder(config.autoencoder, 3, height)
        self.latent_shape = (int(config.autoencoder.latent_channels), height // reduction, width // reduction)
        self.unet = build_unet(
            config.unet,
            channels=self.denoiser_channels,
            out_channels=self.latent_shape[0],
            context_dim=config.dim,
            side=self.latent_shape[1],
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

    def condition(self, features: Tensor, draws: RowDraws, *, sampling: bool = False) -> tuple[Tensor, ...]:
        """The features ``(B, L, D)`` themselves."""
        return (features,)

    def null_condition(self) -> tuple[Tensor, ...]:
        """The trained null ``(L, D)``."""
        return (self.null,)

    def denoise(self, noisy: Tensor, times: Tensor, *condition: Tensor) -> Tensor:
        """Run the network on latents ``(B, Z, h, w)``; see the base class."""
        output: Tensor = self.unet(noisy, times, condition[0], return_dict=False)[0]
        return output

    def to_media(self, decoded: Tensor, seeds: Sequence[int], features: Tensor) -> list[Media]:
        """Make pictures, float32 ``(3, H, W)`` in [0, 1] on the CPU."""
        return to_pictures(decoded, features, self.modality)

    def load_published(self, source: str) -> None:
        """Load the layout of ``stable-diffusion-v1-5/stable-diffusion-v1-5``, with or without a text encoder."""
        published = read(self.config, source, self.unet, self.autoencoder.vae)
        self.take_networks(published.networks, published.null)
        self.take_schedule(published.schedule)

    def portable_options(self, folder: Path, name: str) -> dict[str, Any]:
        """The null is among the saved tensors."""
        return {**super().portable_options(folder, name), "empty_prompt": None}
