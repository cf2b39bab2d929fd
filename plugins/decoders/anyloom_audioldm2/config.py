"""Options of the audio decoder; the defaults are AudioLDM2 (base)."""

from __future__ import annotations

from pydantic import PositiveInt, model_validator

from anyloom.diffusion.autoencoder import AutoencoderSizes
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.objective import Prediction
from anyloom.diffusion.schedule import Schedule
from anyloom.diffusion.sound import MelOptions
from anyloom.diffusion.unet import UNetSizes
from anyloom.options import WrongOptionsError

__all__ = ["AudioLDM2Config", "AudioLDM2Sizes"]


class AudioLDM2Sizes(UNetSizes):
    """Sizes of ``AudioLDM2UNet2DConditionModel``.

    Args:
        attention_head_dim: Width of an attention head.
        attention_levels: Which levels have attention; by default all but the first.
    """

    block_out_channels: tuple[PositiveInt, ...] = (128, 256, 384, 640)
    attention_head_dim: PositiveInt = 32

    @property
    def attends(self) -> tuple[bool, ...]:
        """Whether each level has attention."""
        return self.attention_levels or (False,) + (True,) * (len(self.block_out_channels) - 1)


class AudioLDM2Config(LatentDiffusionDecoder.Config):
    """Options of the audio decoder, besides those of every latent diffusion decoder.

    Args:
        unet: Sizes of the network.
        mel: The spectrogram.
        lm_tokens: Tokens of the slot that GPT2 filled in AudioLDM2.
        lm_dim: Their width.
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
    unet: AudioLDM2Sizes = AudioLDM2Sizes()
    mel: MelOptions = MelOptions()
    lm_tokens: PositiveInt = 8
    lm_dim: PositiveInt = 768
    vocoder: str | None = None
    griffin_lim_steps: PositiveInt = 32

    @model_validator(mode="after")
    def _divides(self) -> AudioLDM2Config:
        if self.mel.frames % self.autoencoder.reduction or self.mel.num_mels % self.autoencoder.reduction:
            raise WrongOptionsError({"mel": f"frames and num_mels must be multiples of {self.autoencoder.reduction}"})
        return self
