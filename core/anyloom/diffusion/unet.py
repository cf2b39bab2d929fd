"""Sizes of diffusers' two-dimensional denoiser, which several decoders share."""

from __future__ import annotations

from typing import Any

from pydantic import Field, PositiveInt, model_validator

from anyloom.interfaces.component import ComponentConfig
from anyloom.options import WrongOptionsError

__all__ = ["UNetSizes", "build_unet"]


class UNetSizes(ComponentConfig):
    """Sizes of ``UNet2DConditionModel`` and its relatives, under diffusers' names.

    Args:
        block_out_channels: Width of each level.
        layers_per_block: Residual layers per level.
        attention_head_dim: Heads per level (diffusers' historical name for their number), one for all or each.
        attention_levels: Which levels have attention; by default all but the last.
        norm_num_groups: Groups of the group norms.
        use_linear_projection: Linear instead of 1x1 convolutions around attention.
    """

    block_out_channels: tuple[PositiveInt, ...] = Field((320, 640, 1280, 1280), min_length=1)
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


def build_unet(
    sizes: UNetSizes,
    *,
    channels: int,
    out_channels: int,
    context_dim: Any,
    side: int,
    network: str = "UNet2DConditionModel",
    **more: Any,
) -> Any:
    """Return a denoiser of diffusers.

    Args:
        sizes: Its sizes.
        channels: Input channels.
        out_channels: Output channels.
        context_dim: Width of the tokens that cross-attention reads, or what ``network`` wants in its place.
        side: Rows of latents; kept for the record only.
        network: Class name in diffusers.
        more: Further options of the class.
    """
    import diffusers

    return getattr(diffusers, network)(
        sample_size=side,
        in_channels=channels,
        out_channels=out_channels,
        down_block_types=tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in sizes.attends),
        up_block_types=tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(sizes.attends)),
        block_out_channels=sizes.block_out_channels,
        layers_per_block=sizes.layers_per_block,
        cross_attention_dim=context_dim,
        attention_head_dim=sizes.attention_head_dim,
        norm_num_groups=sizes.norm_num_groups,
        use_linear_projection=sizes.use_linear_projection,
        **more,
    )
