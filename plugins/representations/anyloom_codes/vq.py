"""Encoder and decoder of codes: the two halves of one VQ autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom.errors import ConfigError, FeatureSpaceError
from anyloom.interfaces import Condition, Decoder, Encoder, FeatureSpace
from anyloom_codes.autoencoder import (
    VQSizes,
    build_vq,
    codes_of,
    load_vq,
    pictures_of,
    prepare,
    require_sizes,
    save_vq,
    vq_space,
)
from anyloom_codes.codes import labels

__all__ = ["VQDecoder", "VQEncoder"]


class VQEncoder(Encoder):
    """Pictures as codes, in reading order.

    >>> from anyloom_codes.tiny import SIZES
    >>> encoder = VQEncoder(VQEncoder.Config(sizes=SIZES))  # pictures of 16 pixels, and a codebook of 16
    >>> print(encoder.feature_space("image"))
    vq (16 x 1, code)
    >>> encoder(encoder.preprocess(Media("image", torch.zeros(3, 20, 30)))[None], "image").shape
    torch.Size([1, 16, 1])
    """

    class Config(Encoder.Config):
        """Options.

        Args:
            freeze: Always: no gradient comes through codes. The stage ``vq-autoencoder`` trains them.
            sizes: Of the autoencoder.
            space: Name of its codes.
            weights: Folder that the stage ``vq-autoencoder`` wrote, or a published folder of diffusers.
        """

        freeze: Literal[True] = True
        sizes: VQSizes = VQSizes()
        space: str = "vq"
        weights: str | None = None

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.vq = build_vq(config.sizes)

    def feature_space(self, modality: str) -> FeatureSpace:
        """The space of its codes.

        Raises:
            anyloom.errors.ConfigError: It encodes pictures, and nothing else.
        """
        if modality != "image":
            raise ConfigError(f"this encoder is for image, not {modality}", fix="add another encoder")
        return vq_space(self.config.space, self.config.sizes)

    def preprocess(self, media: Media) -> Tensor:
        """Return a picture as float32 ``(3, size, size)`` in [-1, 1]."""
        return prepare(media, self.config.sizes)

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Codes ``(B, n, 1)`` as numbers, without gradient."""
        return codes_of(self.vq, inputs).float()[..., None]

    def example(self, modality: str) -> Tensor:
        """A grey picture ``(1, 3, size, size)``."""
        return torch.zeros(1, 3, self.config.sizes.picture_size, self.config.sizes.picture_size)

    def load_weights(self) -> None:
        """Read the autoencoder."""
        if self.config.weights is not None:
            require_sizes(self.config.sizes, self.config.weights)
        load_vq(self.vq, self.config.weights)

    def weight_files(self) -> list[Path]:
        """The folder of the weights."""
        return [] if self.config.weights is None else [Path(self.config.weights)]


class VQDecoder(Decoder):
    """Codes as pictures. It draws nothing by chance: equal codes give equal pictures, whatever the seed.

    >>> from anyloom_codes.tiny import SIZES
    >>> decoder = VQDecoder(VQDecoder.Config(sizes=SIZES))
    >>> decoder.generate(Condition(torch.zeros(1, 16, 1)), seeds=[0])[0].tensor().shape
    torch.Size([3, 16, 16])
    """

    class Config(Decoder.Config):
        """Options; see :class:`VQEncoder`.

        Args:
            sizes: Of the autoencoder.
            space: Name of its codes.
            weights: Folder of the autoencoder.
        """

        sizes: VQSizes = VQSizes()
        space: str = "vq"
        weights: str | None = None

    config: Config
    modality = "image"
    differentiable: ClassVar[bool] = False

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.vq = build_vq(config.sizes)
        self.requires_grad_(not config.freeze)

    def feature_space(self) -> FeatureSpace:
        """The space of its codes."""
        return vq_space(self.config.space, self.config.sizes)

    def preprocess(self, media: Media) -> Tensor:
        """Return a picture as float32 ``(3, size, size)`` in [-1, 1]."""
        return prepare(media, self.config.sizes)

    def forward(self, condition: Condition, targets: Tensor, seeds: Sequence[int] | Tensor | None = None) -> Tensor:
        """Squared error ``(B,)`` of the pictures that codes give; no gradient reaches the codes."""
        made = pictures_of(self.vq, self._codes(condition), self.config.sizes.side)
        return (made - targets).square().flatten(1).mean(1)

    @torch.no_grad()
    def generate(self, condition: Condition, *, seeds: Sequence[int], sampling: Any = None) -> list[Media]:
        """Make pictures, float32 ``(3, size, size)`` in [0, 1]."""
        self.chosen(sampling)
        pictures = ((pictures_of(self.vq, self._codes(condition), self.config.sizes.side) + 1) / 2).clamp(0, 1).cpu()
        features = condition.features.detach().float().cpu()
        return [Media("image", data=picture, features=own) for picture, own in zip(pictures, features)]

    def _codes(self, condition: Condition) -> Tensor:
        """Codes ``(B, n)``.

        Raises:
            anyloom.errors.FeatureSpaceError: The features are not one number for each of the n codes.
        """
        space, shape = self.feature_space(), tuple(condition.features.shape)
        if shape[1:] != (space.tokens, space.dim):
            raise FeatureSpaceError(
                f"features are {shape}, not (B, {space.tokens}, {space.dim})", where="vq", fix="use the encoder vq"
            )
        return labels(condition.features).clamp(0, self.config.sizes.num_vq_embeddings - 1)

    def example(self) -> Tensor:
        """A grey picture ``(1, 3, size, size)``."""
        return torch.zeros(1, 3, self.config.sizes.picture_size, self.config.sizes.picture_size)

    def load_weights(self) -> None:
        """Read the autoencoder."""
        if self.config.weights is not None:
            require_sizes(self.config.sizes, self.config.weights)
        load_vq(self.vq, self.config.weights)

    def weight_files(self) -> list[Path]:
        """The folder of the weights."""
        return [] if self.config.weights is None else [Path(self.config.weights)]

    def save(self, folder: Path) -> None:
        """Write the autoencoder for the ``weights`` of both halves."""
        save_vq(self.vq, self.config.sizes, folder)
