"""CLIP's vision tower (arXiv 2103.00020) as an encoder of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom.errors import ConfigError
from anyloom_clip.config import CLIPConfig, CLIPSizes, PictureNumbers
from anyloom_clip.pictures import picture_input
from anyloom_clip.tower import TowerEncoder

__all__ = ["CLIPEncoder"]

_BICUBIC = 3


class CLIPEncoder(TowerEncoder):
    """CLIP's picture embedding ``(1, D)``, or its class token and patches ``(1 + N, D)``.

    Tokens go through the last norm and the projection that the class token goes through, so the first one is the
    pooled feature. The image encoder of Stable Diffusion 2.1 unCLIP is this class with ViT-H/14's weights: with
    ``space: openclip-vit-h`` it gives what that decoder was trained on.

    >>> tiny = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "projection_dim": 4}
    >>> print(CLIPEncoder.from_options(architecture=tiny).feature_space("image"))
    clip (1 x 4, raw)
    """

    Config = CLIPConfig
    modality = "image"
    space = "clip"
    section = "vision_config"
    sizes_class = CLIPSizes

    def __init__(self, config: CLIPConfig) -> None:
        super().__init__(config)
        short = self.preparation.short_side
        if short is not None and short < self.sizes.image_size:
            raise ConfigError(
                f"no square of {self.sizes.image_size} pixels can be cut out of a picture of {short}",
                where="preparation.short_side",
                fix=f"give {self.sizes.image_size} or more",
            )

    def build_network(self) -> Any:
        """``CLIPVisionModelWithProjection``."""
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        return CLIPVisionModelWithProjection(CLIPVisionConfig(**self.sizes.model_dump()))

    def read_preparation(self, numbers: Mapping[str, Any]) -> PictureNumbers:
        """Take over sizes, mean and deviation of a ``CLIPImageProcessor``."""
        off = [k for k in ("do_resize", "do_center_crop", "do_rescale", "do_normalize") if numbers.get(k) is False]
        if off:
            raise ValueError(f"{off[0]}: false")
        if numbers.get("resample", _BICUBIC) != _BICUBIC:
            raise ValueError(f"resample {numbers['resample']}, which is not bicubic")
        size = numbers.get("size", self.sizes.image_size)
        short = size.get("shortest_edge") if isinstance(size, Mapping) else size
        if short is None:
            raise ValueError(f"size {size}, which changes proportions")
        found = {"mean": numbers.get("image_mean"), "std": numbers.get("image_std"), "short_side": short}
        return PictureNumbers(**{k: v for k, v in found.items() if v is not None})

    def preprocess(self, media: Media) -> Tensor:
        """Return a picture as ``(3, S, S)``: shorter side resized, middle square, mean and deviation.

        Raises:
            anyloom.errors.MediaError: It is no picture of three channels.
        """
        return picture_input(media.sample(), self.sizes.image_size, self.preparation, media.path)

    def example(self, modality: str) -> Tensor:
        """A black picture ``(1, 3, S, S)`` as :meth:`preprocess` gives it."""
        return self.preprocess(Media(modality, torch.zeros(3, 8, 8)))[None]

    def encode(self, inputs: Tensor) -> Tensor:
        """Raw features ``(B, L, D)`` of pictures ``(B, 3, S, S)``."""
        output = self.network(pixel_values=inputs)
        if self.config.features == "pooled":
            pooled: Tensor = output.image_embeds[:, None]
            return pooled
        tokens = self.network.vision_model.post_layernorm(output.last_hidden_state)
        projected: Tensor = self.network.visual_projection(tokens)
        return projected
