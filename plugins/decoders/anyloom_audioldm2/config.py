"""Options of the audio decoder; the defaults are AudioLDM2 (base) but for the scaling of log-mel."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from anyloom.diffusion.autoencoder import AutoencoderSizes
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.objective import Prediction
from anyloom.diffusion.schedule import Schedule
from anyloom.interfaces.component import ComponentConfig
from anyloom.signal.mel import MelScale

__all__ = ["AudioLDM2Config", "MelOptions", "UNetSizes"]


class MelOptions(ComponentConfig):
    """The log-mel spectrogram that stands for a sound: natural logarithm of mel magnitudes.

    Args:
        sample_rate: Samples per second.
        fft_size: Samples per transform and window.
        hop: Samples between frames.
        num_mels: Bands.
        low: Lower edge of the bands, in Hz.
        high: Upper edge, in Hz; by default half the sample rate.
        mel_scale: ``slaney`` or ``htk``.
        frames: Frames of one sound; longer ones are cut, shorter ones padded with silence.
        floor: Magnitudes below this are silence.
        centre: Subtracted from the log-mel; 0 for published weights.
        spread: Divides what is left; 1 for published weights. The defaults map ln(1e-5) .. 1.5 to -1 .. 1.
    """

    sample_rate: PositiveInt = 16000
    fft_size: PositiveInt = 1024
    hop: PositiveInt = 160
    num_mels: PositiveInt = 64
    low: float = 0.0
    high: float | None = None
    mel_scale: MelScale = "slaney"
    frames: PositiveInt = 1000
    floor: PositiveFloat = 1e-5
    centre: float = -5.0
    spread: PositiveFloat = 6.5


class UNetSizes(ComponentConfig):
    """Sizes of ``AudioLDM2UNet2DConditionModel``, under diffusers' names.

    Args:
        block_out_channels: Width of each level.
        layers_per_block: Residual layers per level.
        attention_head_dim: Width of an attention head.
        attention_levels: Which levels have attention; by default all but the first.
        norm_num_groups: Groups of the group norms.
    """

    block_out_channels: tuple[PositiveInt, ...] = (128, 256, 384, 640)
    layers_per_block: PositiveInt = 2
    attention_head_dim: PositiveInt = 32
    attention_levels: tuple[bool, ...] | None = None
    norm_num_groups: PositiveInt = 32

    @property
    def attends(self) -> tuple[bool, ...]:
        """Whether each level has attention."""
        return self.attention_levels or (False,) + (True,) * (len(self.block_out_channels) - 1)

    @model_validator(mode="after")
    def _levels_agree(self) -> UNetSizes:
        if len(self.attends) != len(self.block_out_channels):
            raise ValueError(f"attention_levels has {len(self.attends)} entries, block_out_channels more or fewer")
        return self


class AudioLDM2Config(LatentDiffusionDecoder.Config):
    """Options of the audio decoder, besides those of every latent diffusion decoder.

    Args:
        unet: Sizes of the network.
        mel: The spectrogram.
        lm_tokens: Tokens of the slot that GPT2 filled in AudioLDM2.
        lm_dim: Their width.
        lm_slot: What that slot holds: ``zeros``, or a linear ``projection`` of the mean feature.
        vocoder: Folder of a HiFi-GAN as transformers saves it; by default the one in ``weights``, where there is one.
        griffin_lim_steps: Iterations, where there is no vocoder.
    """

    space: str = "imagebind-audio"
    dim: PositiveInt = 1024
    prediction: Prediction = "epsilon"
    schedule: Schedule = Schedule(beta_start=0.0015, beta_end=0.0195)
    autoencoder: AutoencoderSizes = AutoencoderSizes(
        block_out_channels=(128, 256, 512), latent_channels=8, scaling_factor=0.4110932946205139
    )
    unet: UNetSizes = UNetSizes()
    mel: MelOptions = MelOptions()
    lm_tokens: PositiveInt = 8
    lm_dim: PositiveInt = 768
    lm_slot: Literal["zeros", "projection"] = "zeros"
    vocoder: str | None = None
    griffin_lim_steps: PositiveInt = 32

    @model_validator(mode="after")
    def _divides(self) -> AudioLDM2Config:
        if self.mel.frames % self.autoencoder.reduction or self.mel.num_mels % self.autoencoder.reduction:
            raise ValueError(f"mel.frames and mel.num_mels must be multiples of {self.autoencoder.reduction}")
        return self
