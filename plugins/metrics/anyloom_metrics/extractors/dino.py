"""DINO's vision transformer (arXiv 2104.14294): the class token of ViT-S/16, for subject fidelity."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import PositiveInt
from torch import Tensor

from anyloom.conversation import Media
from anyloom.interfaces import FeatureSpace
from anyloom.storage.repositories import fetch, is_repository
from anyloom.storage.tensors import read_tensors
from anyloom_metrics.extractors.folders import load_published
from anyloom_metrics.extractors.published import PublishedNetwork
from anyloom_metrics.preparation.pictures import IMAGENET_MEAN, IMAGENET_STD, normalised, picture_bytes, square

__all__ = ["DINO"]

_SHORT_SIDE, _SIZE, _PATCH, _EPSILON = 256, 224, 16, 1e-6
_NAMES = {
    "pos_embed": "embeddings.position_embeddings",
    "cls_token": "embeddings.cls_token",
    "patch_embed.proj.": "embeddings.patch_embeddings.projection.",
    "blocks.": "layers.",
    ".norm1.": ".layernorm_before.",
    ".norm2.": ".layernorm_after.",
    ".attn.proj.": ".attention.o_proj.",
}


class DINO(PublishedNetwork):
    """DINO through transformers' ViT, with the epsilon 1e-6 of the original code. Features are not normalised.

    Pictures go through Pillow: shorter side 256, middle square of 224.

    >>> encoder = DINO(DINO.Config(hidden_size=12, layers=1, heads=2))  # random; `weights` names a published folder
    >>> print(encoder.feature_space("image"))
    dino (1 x 12, raw)
    """

    modality = "image"

    class Config(PublishedNetwork.Config):
        """Options; the defaults are ViT-S/16.

        Args:
            weights: Safetensors file in the layout of facebookresearch/dino, folder that transformers saved, or a
                repository such as facebook/dino-vits16. Without it the network is random.
            download: Allow ``weights`` to be fetched from the hub.
            hidden_size: Width.
            layers: Number of blocks.
            heads: Attention heads.
        """

        weights: str | None = None  # type: ignore[assignment]
        download: bool = False
        hidden_size: PositiveInt = 384
        layers: PositiveInt = 12
        heads: PositiveInt = 6

    config: Config  # type: ignore[assignment]

    def __init__(self, config: Config) -> None:
        from transformers import ViTConfig, ViTModel

        super().__init__(config)
        sizes = ViTConfig(
            hidden_size=config.hidden_size,
            intermediate_size=4 * config.hidden_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            image_size=_SIZE,
            patch_size=_PATCH,
            layer_norm_eps=_EPSILON,
        )
        self.network: Any = ViTModel(sizes, add_pooling_layer=False)
        self.settle()

    def weight_files(self) -> list[Path]:
        """The file or folder ``weights`` names, unless that is a repository."""
        source = self.config.weights
        return [] if source is None or is_repository(source) else [Path(source)]

    def load_weights(self) -> None:
        """Read the tensors, of either layout.

        Raises:
            anyloom.errors.CheckpointError: They are missing, broken or of another network.
        """
        source = self.config.weights
        if source is None:
            return
        if not is_repository(source) and not Path(source).is_dir():
            self.load_tensors(_renamed(read_tensors(Path(source))), where=source)
            return
        folder = fetch(source, ("config.json", "model*.safetensors"), download=self.config.download)
        # the folder's own config has another epsilon than the code that trained it
        self.network = load_published(type(self.network), folder, self.network.config, add_pooling_layer=False)
        self.settle()

    def feature_space(self, modality: str) -> FeatureSpace:
        """Space of the class token."""
        self.require(modality)
        return FeatureSpace(name="dino", dim=self.config.hidden_size)

    def preprocess(self, media: Media) -> Tensor:
        """Return a picture as ``(3, 224, 224)``.

        Raises:
            anyloom.errors.MediaError: It is no picture, or its range is unknown.
        """
        picture = picture_bytes(media.tensor().detach().cpu(), media.path or media.key)
        return normalised(square(picture, short_side=_SHORT_SIDE, size=_SIZE), IMAGENET_MEAN, IMAGENET_STD)

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Return the class token ``(B, 1, D)`` after the last norm, of pictures ``(B, 3, 224, 224)``."""
        self.require(modality)
        tokens: Tensor = self.network(pixel_values=inputs).last_hidden_state
        return tokens[:, :1]


def _renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors in the layout of facebookresearch/dino under the names of transformers' ViT."""
    found: dict[str, Tensor] = {}
    for key, value in tensors.items():
        name = re.sub(r"^norm\.", "layernorm.", key)
        for theirs, ours in _NAMES.items():
            name = name.replace(theirs, ours)
        block, joined, kind = name.partition(".attn.qkv.")
        if joined:
            found |= {f"{block}.attention.{n}_proj.{kind}": part for n, part in zip("qkv", value.chunk(3))}
        else:
            found[name] = value
    return found
