"""The small image decoder: a class embedding of the feature, a learned context, latent diffusion around a sketch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn

from anyloom.conversation.segments import Media
from anyloom.diffusion.augmentation import NoiseAugmentation
from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.pictures import PictureOptions, to_network, to_pictures
from anyloom.diffusion.unet import UNetSizes, build_unet
from anyloom_mini.linear_autoencoder import LinearAutoencoder
from anyloom_mini.opponent import opponent
from anyloom_mini.sketched_decoder import SketchedDecoder

__all__ = ["MiniPicture", "PictureSizes"]


class PictureSizes(UNetSizes):
    """Sizes of the network.

    Args:
        cross_attention_dim: Width of the context tokens.
    """

    use_linear_projection: bool = True
    cross_attention_dim: PositiveInt = 64


class MiniPicture(SketchedDecoder):
    """The way of SD unCLIP (a feature as class label) in small, with everything that can be fitted in closed form.

    >>> import torch
    >>> from anyloom.interfaces import Condition
    >>> from anyloom_mini.tiny import PICTURE
    >>> decoder = MiniPicture.from_options(PICTURE).eval()  # very small, with random weights
    >>> few = decoder.Sampling(denoising_steps=2)
    >>> made = decoder.generate(Condition(torch.zeros(2, 1, 8)), seeds=[0, 1], sampling=few)
    >>> [tuple(one.tensor().shape) for one in made]
    [(3, 16, 16), (3, 16, 16)]
    """

    class Config(PictureOptions, SketchedDecoder.Config):
        """Options, besides those of every decoder with a sketch.

        Args:
            unet: Sizes of the network.
            context_tokens: Trained tokens that cross-attention reads.
            colour_weight: Weight of the two colour axes against lightness when the autoencoder is trained.
        """

        picture_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 64
        unet: PictureSizes = PictureSizes()
        context_tokens: PositiveInt = 1
        colour_weight: float = 1.5

        @model_validator(mode="after")
        def _divides(self) -> MiniPicture.Config:
            self.require_multiple_of(self.autoencoder.reduction)
            return self

    config: Config
    modality = "image"
    autoencoder_class: type[LinearAutoencoder] = LinearAutoencoder

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.add_networks()
        self.finish_parts()

    def add_networks(self) -> None:
        """Make all parts."""
        config = self.config
        height, width = config.height_width
        reduction = config.autoencoder.reduction
        self.autoencoder = self.autoencoder_class(config.autoencoder, 3, height)
        self.latent_shape = (int(config.autoencoder.latent_channels), height // reduction, width // reduction)
        self.augmentation = NoiseAugmentation(self.numbers)
        self.context = nn.Parameter(torch.zeros(config.context_tokens, config.unet.cross_attention_dim))
        self.unet = build_unet(
            config.unet,
            channels=self.denoiser_channels,
            out_channels=self.latent_shape[0],
            context_dim=config.unet.cross_attention_dim,
            side=self.latent_shape[1],
            class_embed_type="projection",
            projection_class_embeddings_input_dim=2 * self.numbers,
        )
        self.add_sketch()

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
        """Also standardise the noise augmentation with training features ``(N, L, D)``."""
        super().fit(features, latents)
        self.augmentation.fit(features.flatten(1))

    def read(self, features: Tensor, draws: RowDraws) -> Tensor:
        """Class labels ``(B, 2 L D)``: the feature with the least noise, and the embedding of that level."""
        vectors = features.flatten(1).float()
        level = torch.zeros(len(vectors), dtype=torch.long, device=vectors.device)
        labels: Tensor = self.augmentation(vectors, level, draws.normal(vectors.shape[1:]))
        return labels

    def null_read(self) -> Tensor:
        """Class label ``(2 L D,)`` of a dropped feature."""
        vector = self.null.flatten()
        return torch.cat([vector, torch.zeros_like(vector)])

    def denoise(self, noisy: Tensor, times: Tensor, *condition: Tensor) -> Tensor:
        """Run the network on latents ``(B, 2 Z, h, w)`` or more; see the base class."""
        (read,) = condition
        context = self.context.to(noisy).expand(len(noisy), -1, -1)
        output: Tensor = self.unet(noisy, times, context, class_labels=read, return_dict=False)[0]
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
        return to_pictures(decoded, features, self.modality)
