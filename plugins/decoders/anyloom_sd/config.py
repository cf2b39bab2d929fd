"""Options of the image decoder; the defaults are Stable Diffusion 1.x on one feature per picture."""

from __future__ import annotations

from pathlib import Path

from pydantic import PositiveInt, model_validator

from anyloom.diffusion.autoencoder import AutoencoderSizes
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.objective import Prediction
from anyloom.interfaces.component import ComponentConfig
from anyloom.options import WrongOptionsError

__all__ = ["SDConfig", "UNetSizes"]


class UNetSizes(ComponentConfig):
    """Sizes of ``UNet2DConditionModel``, under diffusers' names; its ``cross_attention_dim`` is the features' ``dim``.

    Args:
        block_out_channels: Width of each level.
        layers_per_block: Residual layers per level.
        attention_head_dim: Heads per level (diffusers' historical name for their number), one for all or each.
        attention_levels: Which levels have attention; by default all but the last.
        norm_num_groups: Groups of the group norms.
        use_linear_projection: Linear instead of 1x1 convolutions around attention.
    """

    block_out_channels: tuple[PositiveInt, ...] = (320, 640, 1280, 1280)
    layers_per_block: PositiveInt = 2
    attention_head_dim: PositiveInt | tuple[PositiveInt, ...] = 8
    attention_levels: tuple[bool, ...] | None = None
    norm_num_groups: PositiveInt = 32
    use_linear_projection: bool = False

    @property
    def attends(self) -> tuple[bool, ...]:
        """Whether each level has attention."""
        return self.attention_levels or (True,) * (len(self.block_out_channels) - 1) + (False,)

    @model_validator(mode="after")
    def _levels_agree(self) -> UNetSizes:
        levels = len(self.block_out_channels)
        lists = {"attention_head_dim": self.attention_head_dim, "attention_levels": self.attends}
        wrong = {k: v for k, v in lists.items() if isinstance(v, tuple) and len(v) != levels}
        if wrong:
            raise WrongOptionsError({k: f"{len(v)} entries for {levels} levels" for k, v in wrong.items()})
        return self


class SDConfig(LatentDiffusionDecoder.Config):
    """Options of the image decoder, besides those of every latent diffusion decoder.

    Stable Diffusion 2.1 is ``dim: 1024``, ``prediction: v_prediction``, ``picture_size: 768`` (``epsilon`` and 512 for
    2.1 base) and ``unet: {attention_head_dim: [5, 10, 20, 20], use_linear_projection: true}``.

    Args:
        picture_size: Rows and columns of a picture, in pixels.
        unet: Sizes of the network.
        empty_prompt: Safetensors file with the tensor ``empty_prompt`` ``(L or more, D)``, null of published weights
            that were trained on words; without it the folder's own text encoder is asked.
    """

    space: str = "clip"
    dim: PositiveInt = 768
    prediction: Prediction = "epsilon"
    picture_size: PositiveInt = 512
    unet: UNetSizes = UNetSizes()
    autoencoder: AutoencoderSizes = AutoencoderSizes()
    empty_prompt: Path | None = None

    @model_validator(mode="after")
    def _divides(self) -> SDConfig:
        if self.picture_size % self.autoencoder.reduction:
            raise WrongOptionsError({"picture_size": f"not a multiple of {self.autoencoder.reduction}"})
        return self
