"""The small audio decoder: cross-attention on the feature, latent diffusion over log-mel around a sketch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from pydantic import PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.diffusion.checkpointing import checkpoint_by_name
from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.sound import MelOptions, sound_to_log_mel, to_wave
from anyloom.diffusion.unet import UNetSizes, build_unet
from anyloom.interfaces.progress import report_progress
from anyloom.options import WrongOptionsError
from anyloom_mini.linear_autoencoder import LinearAutoencoder
from anyloom_mini.sketched_decoder import SketchedDecoder

__all__ = ["MiniMel", "MiniSound", "SoundSizes"]


class MiniMel(MelOptions):
    """The log-mel spectrogram, brought to about [-1, 1].

    Args:
        centre: Subtracted from the log-mel.
        spread: Divides what is left. The defaults map ln(1e-5) .. 1.5 to -1 .. 1.
    """

    centre: float = -5.0
    spread: PositiveFloat = 6.5


class SoundSizes(UNetSizes):
    """Sizes of the network.

    Args:
        attention_head_dim: Width of an attention head.
        attention_levels: Which levels have attention; by default all but the first.
    """

    attention_head_dim: PositiveInt = 16

    @property
    def attends(self) -> tuple[bool, ...]:
        """Whether each level has attention."""
        return self.attention_levels or (False,) + (True,) * (len(self.block_out_channels) - 1)


class MiniSound(SketchedDecoder):
    """The way of AudioLDM2 (features in the place of T5's tokens) in small; Griffin-Lim makes the sound.

    >>> import torch
    >>> from anyloom.interfaces import Condition
    >>> from anyloom_mini.tiny import SOUND
    >>> decoder = MiniSound.from_options(SOUND).eval()  # very small, with random weights
    >>> few = decoder.Sampling(denoising_steps=2)
    >>> made = decoder.generate(Condition(torch.zeros(2, 2, 8)), seeds=[0, 1], sampling=few)
    >>> [tuple(one.tensor().shape) for one in made]
    [(1, 1024), (1, 1024)]
    """

    class Config(SketchedDecoder.Config):
        """Options, besides those of every decoder with a sketch.

        Args:
            unet: Sizes of the network.
            mel: The spectrogram.
            lm_dim: Width of the one token, always zero, in the slot that AudioLDM2 fills by a language model.
            griffin_lim_steps: Iterations of Griffin-Lim.
        """

        unet: SoundSizes = SoundSizes()
        mel: MiniMel = MiniMel()
        lm_dim: PositiveInt = 32
        griffin_lim_steps: PositiveInt = 32

        @model_validator(mode="after")
        def _divides(self) -> MiniSound.Config:
            if self.mel.frames % self.autoencoder.reduction or self.mel.num_mels % self.autoencoder.reduction:
                raise WrongOptionsError(
                    {"mel": f"frames and num_mels must be multiples of {self.autoencoder.reduction}"}
                )
            return self

    config: Config
    modality = "audio"
    fixed_options = (*SketchedDecoder.fixed_options, "mel.")
    changeable_options = (*SketchedDecoder.changeable_options, "mel.frames")

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        mel, reduction = config.mel, config.autoencoder.reduction
        self.autoencoder = LinearAutoencoder(config.autoencoder, 1, mel.frames)
        channels = int(config.autoencoder.latent_channels)
        self.latent_shape = (channels, mel.frames // reduction, mel.num_mels // reduction)
        self.unet = build_unet(
            config.unet,
            channels=self.denoiser_channels,
            out_channels=channels,
            context_dim=tuple([None, config.lm_dim, config.dim] for _ in config.unet.attends),
            side=self.latent_shape[1],
            network="AudioLDM2UNet2DConditionModel",
        )
        self.add_sketch()
        self.finish_parts()

    def preprocess(self, media: Media) -> Tensor:
        """Return a sound as scaled log-mel ``(1, frames, num_mels)``, cut or padded to that length.

        Raises:
            anyloom.errors.MediaError: The sample rate is unknown or not the decoder's.
        """
        mel = self.config.mel
        return (sound_to_log_mel(media, mel) - mel.centre) / mel.spread

    def example(self) -> Tensor:
        """Silence ``(1, 1, frames, num_mels)``."""
        mel = self.config.mel
        return torch.full((1, 1, mel.frames, mel.num_mels), (math.log(mel.floor) - mel.centre) / mel.spread)

    def read(self, features: Tensor, draws: RowDraws) -> Tensor:
        """The features ``(B, L, D)`` themselves."""
        return features

    def null_read(self) -> Tensor:
        """The trained null ``(L, D)``."""
        return self.null

    def denoise(self, noisy: Tensor, times: Tensor, *condition: Tensor) -> Tensor:
        """Run the network on latents ``(B, 2 Z, h, w)`` or more; see the base class."""
        (read,) = condition
        output: Tensor = self.unet(
            noisy,
            times,
            encoder_hidden_states=read.new_zeros(len(noisy), 1, self.config.lm_dim),
            encoder_hidden_states_1=read,
            return_dict=False,
        )[0]
        return output

    def enable_checkpointing(self) -> None:
        """Turn on gradient checkpointing by a function that names the arguments diffusers gives by position."""
        self.unet.enable_gradient_checkpointing(checkpoint_by_name)

    def to_media(self, decoded: Tensor, seeds: Sequence[int], features: Tensor) -> list[Media]:
        """Make sounds, float32 ``(1, T)`` in [-1, 1] on the CPU, with their sample rate."""
        mel, steps = self.config.mel, self.config.griffin_lim_steps
        log_mels = decoded * mel.spread + mel.centre
        waves: list[Tensor] = []
        for own, seed in zip(log_mels, seeds, strict=True):
            if waves:
                report_progress(len(waves), len(seeds))  # whoever watches may break off between two sounds
            waves.append(to_wave(own, mel, seed=int(seed), steps=steps))
        meta = {"sample_rate": float(mel.sample_rate)}
        pairs = zip(waves, features.detach().float().cpu(), strict=True)
        return [Media(self.modality, data=wave, meta=meta, features=feature) for wave, feature in pairs]
