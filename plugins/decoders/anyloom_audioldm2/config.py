"""Options of the audio decoder; the defaults are AudioLDM2 (base)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from anyloom.diffusion.autoencoder import AutoencoderSizes
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.objective import Prediction
from anyloom.diffusion.schedule import Schedule
from anyloom.diffusion.sound import MelOptions
from anyloom.diffusion.unet import UNetSizes
from anyloom.options import WrongOptionsError

__all__ = ["GRIFFIN_LIM", "AudioLDM2Config", "AudioLDM2Sizes"]

GRIFFIN_LIM: Final = "griffin-lim"
"""Asks for no vocoder."""


class AudioLDM2Sizes(UNetSizes):
    """Sizes of ``AudioLDM2UNet2DConditionModel``.

    Args:
        attention_head_dim: Width of an attention head.
        attention_levels: Which levels have attention; by default all but the first.
    """

    block_out_channels: tuple[PositiveInt, ...] = Field((128, 256, 384, 640), min_length=1)
    attention_head_dim: PositiveInt = 32

    @property
    def attends(self) -> tuple[bool, ...]:
        """Whether each level has attention."""
        return self.attention_levels or (False,) + (True,) * (len(self.block_out_channels) - 1)


class AudioLDM2Schedule(Schedule):
    """The schedule of AudioLDM2."""

    beta_start: PositiveFloat = 0.0015
    beta_end: PositiveFloat = 0.0195


class AudioLDM2Autoencoder(AutoencoderSizes):
    """The autoencoder of AudioLDM2."""

    block_out_channels: tuple[PositiveInt, ...] = Field((128, 256, 512), min_length=1)
    latent_channels: PositiveInt = 8
    scaling_factor: PositiveFloat = 0.4110932946205139


class AudioLDM2Config(LatentDiffusionDecoder.Config):
    """Options of the audio decoder, besides those of every latent diffusion decoder.

    Args:
        unet: Sizes of the network.
        mel: The spectrogram.
        lm_tokens: Tokens of the slot that GPT2 filled in AudioLDM2.
        lm_dim: Their width.
        vocoder: Folder of a HiFi-GAN as transformers saves it, or ``griffin-lim`` for none; by default the one in
            ``weights``. Published weights must have one; a decoder trained from nothing does without.
        griffin_lim_steps: Iterations, where there is no vocoder.
        empty_prompt: Safetensors file with the tensors ``empty_prompt`` ``(1 or L, D)`` and ``empty_prompt_lm``
            ``(lm_tokens, lm_dim)``, null of published weights; without it the folder's own text encoders are asked.
    """

    space: str = "imagebind-audio"
    dim: PositiveInt = 1024
    prediction: Prediction = "epsilon"
    schedule: AudioLDM2Schedule = AudioLDM2Schedule()
    autoencoder: AudioLDM2Autoencoder = AudioLDM2Autoencoder()
    unet: AudioLDM2Sizes = AudioLDM2Sizes()
    mel: MelOptions = MelOptions()
    lm_tokens: PositiveInt = 8
    lm_dim: PositiveInt = 768
    vocoder: str | None = None
    griffin_lim_steps: PositiveInt = 32
    empty_prompt: Path | None = None

    @model_validator(mode="after")
    def _divides(self) -> AudioLDM2Config:
        if self.mel.frames % self.autoencoder.reduction or self.mel.num_mels % self.autoencoder.reduction:
            raise WrongOptionsError({"mel": f"frames and num_mels must be multiples of {self.autoencoder.reduction}"})
        return self
