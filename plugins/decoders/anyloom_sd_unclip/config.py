"""Options of the image decoder; the defaults are Stable Diffusion 2.1 unCLIP (h)."""

from __future__ import annotations

from pydantic import Field, PositiveInt, model_validator

from anyloom.diffusion.autoencoder import AutoencoderSizes
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.interfaces.component import ComponentConfig

__all__ = ["NoiseLevels", "SDUnCLIPConfig", "UNetSizes"]


class UNetSizes(ComponentConfig):
    """Sizes of ``UNet2DConditionModel``, under diffusers' names.

    Args:
        block_out_channels: Width of each level.
        layers_per_block: Residual layers per level.
        cross_attention_dim: Width of the context tokens.
        attention_head_dim: Heads per level (diffusers' historical name for their number), one for all or each.
        attention_levels: Which levels have attention; by default all but the last.
        norm_num_groups: Groups of the group norms.
        use_linear_projection: Linear instead of 1x1 convolutions around attention.
    """

    block_out_channels: tuple[PositiveInt, ...] = (320, 640, 1280, 1280)
    layers_per_block: PositiveInt = 2
    cross_attention_dim: PositiveInt = 1024
    attention_head_dim: PositiveInt | tuple[PositiveInt, ...] = (5, 10, 20, 20)
    attention_levels: tuple[bool, ...] | None = None
    norm_num_groups: PositiveInt = 32
    use_linear_projection: bool = True

    @property
    def attends(self) -> tuple[bool, ...]:
        """Whether each level has attention."""
        levels = len(self.block_out_channels)
        return self.attention_levels or (True,) * (levels - 1) + (False,)

    @model_validator(mode="after")
    def _levels_agree(self) -> UNetSizes:
        heads, levels = self.attention_head_dim, len(self.block_out_channels)
        if isinstance(heads, tuple) and len(heads) != levels:
            raise ValueError(f"attention_head_dim has {len(heads)} entries for {levels} levels")
        if len(self.attends) != levels:
            raise ValueError(f"attention_levels has {len(self.attends)} entries for {levels} levels")
        return self


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
            raise ValueError(f"noise levels must lie in 0..{self.num_levels - 1}, low before high")
        return self


class SDUnCLIPConfig(LatentDiffusionDecoder.Config):
    """Options of the image decoder, besides those of every latent diffusion decoder.

    Args:
        picture_size: Rows and columns of a picture, in pixels.
        unet: Sizes of the network.
        noise: Noise augmentation of the feature.
        context_tokens: Constant tokens that cross-attention reads, 77 for an empty prompt of CLIP.
        learn_context: Train those tokens; otherwise they stay zero or what the weights hold.
        empty_prompt: Safetensors file with the tensor ``empty_prompt`` ``(context_tokens, cross_attention_dim)``,
            for published weights; without it the folder's own text encoder is asked.
        colour_weight: Weight of the two colour axes against lightness when the autoencoder is trained.
    """

    space: str = "openclip-vit-h"
    dim: PositiveInt = 1024
    picture_size: PositiveInt = 768
    unet: UNetSizes = UNetSizes()
    autoencoder: AutoencoderSizes = AutoencoderSizes()
    noise: NoiseLevels = NoiseLevels()
    context_tokens: PositiveInt = 77
    learn_context: bool = False
    empty_prompt: str | None = None
    colour_weight: float = 1.5

    @model_validator(mode="after")
    def _divides(self) -> SDUnCLIPConfig:
        if self.picture_size % self.autoencoder.reduction:
            raise ValueError(f"picture_size must be a multiple of {self.autoencoder.reduction}")
        return self
