"""Options of the image decoder; the defaults are Stable Diffusion 2.1 unCLIP (h)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, PositiveInt, model_validator

from anyloom.diffusion.autoencoder import AutoencoderSizes
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.pictures import PictureOptions
from anyloom.diffusion.unet import UNetSizes
from anyloom.interfaces.component import ComponentConfig
from anyloom.options import WrongOptionsError

__all__ = ["NoiseLevels", "SDUnCLIPConfig", "SDUnCLIPSizes"]


class SDUnCLIPSizes(UNetSizes):
    """Sizes of the network.

    Args:
        cross_attention_dim: Width of the context tokens.
    """

    attention_head_dim: PositiveInt | tuple[PositiveInt, ...] = (5, 10, 20, 20)
    use_linear_projection: bool = True
    cross_attention_dim: PositiveInt = 1024


class NoiseLevels(ComponentConfig):
    """Noise augmentation of the feature (unCLIP, arXiv 2204.06125).

    Args:
        num_levels: Levels of its own squared-cosine schedule.
        train: Lowest and highest level drawn in the loss. More noise makes the decoder forgiving and shrinks the
            gradient to the feature.
        sampling: Level when generating.
    """

    num_levels: PositiveInt = 1000
    train: tuple[int, int] = (0, 0)
    sampling: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _in_range(self) -> NoiseLevels:
        low, high = self.train
        if not 0 <= low <= high < self.num_levels or self.sampling >= self.num_levels:
            raise WrongOptionsError({"train": f"noise levels must lie in 0..{self.num_levels - 1}, low before high"})
        return self


class SDUnCLIPConfig(PictureOptions, LatentDiffusionDecoder.Config):
    """Options of the image decoder, besides those of every latent diffusion decoder.

    Args:
        unet: Sizes of the network.
        noise: Noise augmentation of the feature.
        context_tokens: Constant tokens that cross-attention reads, 77 for an empty prompt of CLIP.
        empty_prompt: Safetensors file with the tensor ``empty_prompt`` ``(context_tokens, cross_attention_dim)``,
            for published weights; without it the folder's own text encoder is asked.
    """

    space: str = "openclip-vit-h"
    dim: PositiveInt = 1024
    picture_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 768
    unet: SDUnCLIPSizes = SDUnCLIPSizes()
    autoencoder: AutoencoderSizes = AutoencoderSizes()
    noise: NoiseLevels = NoiseLevels()
    context_tokens: PositiveInt = 77
    empty_prompt: Path | None = None

    @model_validator(mode="after")
    def _divides(self) -> SDUnCLIPConfig:
        self.require_multiple_of(self.autoencoder.reduction)
        return self
