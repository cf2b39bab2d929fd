"""Options of the image decoder; the defaults are Stable Diffusion 1.x on one feature per picture."""

from __future__ import annotations

from pathlib import Path

from pydantic import PositiveInt, model_validator

from anyloom.diffusion.autoencoder import AutoencoderSizes
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.objective import Prediction
from anyloom.diffusion.pictures import PictureOptions
from anyloom.diffusion.unet import UNetSizes

__all__ = ["SDConfig"]


class SDConfig(PictureOptions, LatentDiffusionDecoder.Config):
    """Options of the image decoder, besides those of every latent diffusion decoder.

    Stable Diffusion 2.1 is ``dim: 1024``, ``prediction: v_prediction``, ``picture_size: 768`` (``epsilon`` and 512 for
    2.1 base) and ``unet: {attention_head_dim: [5, 10, 20, 20], use_linear_projection: true}``.

    Args:
        unet: Sizes of the network.
        empty_prompt: Safetensors file with the tensor ``empty_prompt`` ``(L or more, D)``, null of published weights
            that were trained on words; without it the folder's own text encoder is asked.
    """

    space: str = "clip"
    dim: PositiveInt = 768
    prediction: Prediction = "epsilon"
    picture_size: PositiveInt | tuple[PositiveInt, PositiveInt] = 512
    unet: UNetSizes = UNetSizes()
    autoencoder: AutoencoderSizes = AutoencoderSizes()
    empty_prompt: Path | None = None

    @model_validator(mode="after")
    def _divides(self) -> SDConfig:
        self.require_multiple_of(self.autoencoder.reduction)
        return self
