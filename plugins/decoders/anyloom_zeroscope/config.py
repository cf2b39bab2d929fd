"""Options of the video decoder; the defaults are zeroscope_v2_576w."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.objective import Prediction
from anyloom.interfaces.component import ComponentConfig
from anyloom.options import WrongOptionsError
from anyloom.signal.resizing import Fit

__all__ = ["ClipOptions", "UNetSizes", "ZeroscopeConfig"]


class ClipOptions(ComponentConfig):
    """The clips that are made, and learned from.

    Args:
        frames: Frames T of a clip; longer ones are cut, the last frame of shorter ones is held.
        fps: Frames per second; clips of another rate are resampled to the frame shown at each time.
        height: Rows of a frame, in pixels.
        width: Columns of a frame.
        fit: What happens to frames of other proportions: ``cover`` scales and cuts off the ends, as encoders do;
            ``pad`` fills up with white; ``squeeze`` changes the proportions.
    """

    frames: PositiveInt = 24
    fps: PositiveFloat = 8.0
    height: PositiveInt = 320
    width: PositiveInt = 576
    fit: Fit = "cover"


class UNetSizes(ComponentConfig):
    """Sizes of ``UNet3DConditionModel``, under diffusers' names.

    Args:
        block_out_channels: Width of each level.
        layers_per_block: Residual layers per level.
        attention_head_dim: Width of an attention head.
        attention_levels: Which levels have attention; by default all but the last.
        norm_num_groups: Groups of the group norms.
    """

    block_out_channels: tuple[PositiveInt, ...] = Field((320, 640, 1280, 1280), min_length=1)
    layers_per_block: PositiveInt = 2
    attention_head_dim: PositiveInt = 64
    attention_levels: tuple[bool, ...] | None = None
    norm_num_groups: PositiveInt = 32

    @property
    def attends(self) -> tuple[bool, ...]:
        """Whether each level has attention."""
        levels = len(self.block_out_channels)
        return self.attention_levels or (True,) * (levels - 1) + (False,)

    @model_validator(mode="after")
    def _sizes_agree(self) -> UNetSizes:
        levels = len(self.block_out_channels)
        if len(self.attends) != levels:
            raise WrongOptionsError({"attention_levels": f"{len(self.attends)} entries for {levels} levels"})
        odd = [c for c in self.block_out_channels if c % self.attention_head_dim]
        if odd:
            raise WrongOptionsError({"block_out_channels": f"must be multiples of attention_head_dim, {odd[0]} is not"})
        return self


class ZeroscopeConfig(LatentDiffusionDecoder.Config):
    """Options of the video decoder, besides those of every latent diffusion decoder.

    Args:
        clip: Frames, frame rate and size of clips.
        unet: Sizes of the network.
        empty_prompt: Safetensors file with the tensor ``empty_prompt`` ``(L or more, D)``, null of published weights;
            without it the folder's own text encoder is asked.
        frames_at_once: Frames that the autoencoder takes at a time where no gradient is needed; fewer take less memory.
    """

    space: str = "imagebind-huge"
    dim: PositiveInt = 1024
    prediction: Prediction = "epsilon"
    clip: ClipOptions = ClipOptions()
    unet: UNetSizes = UNetSizes()
    empty_prompt: Path | None = None
    frames_at_once: PositiveInt = 8

    @model_validator(mode="after")
    def _divides(self) -> ZeroscopeConfig:
        reduction = self.autoencoder.reduction
        if self.clip.height % reduction or self.clip.width % reduction:
            raise WrongOptionsError({"clip": f"height and width must be multiples of {reduction}"})
        return self
