"""The audio decoder: features in the place of T5's tokens, latent diffusion over log-mel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.diffusion.autoencoder import LatentAutoencoder
from anyloom.diffusion.checkpointing import checkpoint_by_name
from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.sound import sound_to_log_mel, to_wave
from anyloom.diffusion.unet import build_unet
from anyloom_audioldm2.config import AudioLDM2Config
from anyloom_audioldm2.published import read
from anyloom_audioldm2.vocoder import build_vocoder, load_vocoder

__all__ = ["AudioLDM2Decoder"]


class AudioLDM2Decoder(LatentDiffusionDecoder):
    """AudioLDM2 (arXiv 2308.05734) conditioned on features alone (CoDi-2, section 3.2).

    Features ``(L, D)`` take the slot of the T5 tokens, which has ImageBind's width; the slot of GPT2's tokens is zero.
    """

    Config = AudioLDM2Config
    config: AudioLDM2Config
    modality = "audio"
    vocoder: Any
    fixed_options = (*LatentDiffusionDecoder.fixed_options, "unet.", "mel.")
    changeable_options = (*LatentDiffusionDecoder.changeable_options, "mel.frames")
    beside_denoiser = ("autoencoder.", "vocoder.")

    def __init__(self, config: AudioLDM2Config) -> None:
        super().__init__(config)
        mel, reduction = config.mel, config.autoencoder.reduction
        self.autoencoder = LatentAutoencoder(config.autoencoder, 1, mel.frames)
        self.latent_shape = (
            int(config.autoencoder.latent_channels),
            mel.frames // reduction,
            mel.num_mels // reduction,
        )
        self.unet = build_unet(
            config.unet,
            channels=self.denoiser_channels,
            out_channels=self.latent_shape[0],
            context_dim=tuple([None, config.lm_dim, config.dim] for _ in config.unet.attends),
            side=self.latent_shape[1],
            network="AudioLDM2UNet2DConditionModel",
        )
        self.vocoder = None if config.vocoder is None else build_vocoder(Path(config.vocoder), mel)
        self.finish_parts()

    def preprocess(self, media: Media) -> Tensor:
        """Return a sound as log-mel ``(1, frames, num_mels)``, cut or padded to that length.

        Raises:
            anyloom.errors.MediaError: The sample rate is unknown or not the decoder's.
        """
        return sound_to_log_mel(media, self.config.mel)

    def example(self) -> Tensor:
        """Silence ``(1, 1, frames, num_mels)``."""
        mel = self.config.mel
        return torch.full((1, 1, mel.frames, mel.num_mels), math.log(mel.floor))

    def condition(self, features: Tensor, draws: RowDraws, *, sampling: bool = False) -> tuple[Tensor, ...]:
        """The features ``(B, L, D)`` themselves."""
        return (features,)

    def null_condition(self) -> tuple[Tensor, ...]:
        """The trained null ``(L, D)``."""
        return (self.null,)

    def denoise(self, noisy: Tensor, times: Tensor, condition: Tensor) -> Tensor:
        """Run the network on latents ``(B, Z, h, w)``; see the base class."""
        output: Tensor = self.unet(
            noisy,
            times,
            encoder_hidden_states=condition.new_zeros(len(noisy), self.config.lm_tokens, self.config.lm_dim),
            encoder_hidden_states_1=condition,
            return_dict=False,
        )[0]
        return output

    def to_media(self, decoded: Tensor, seeds: Sequence[int], features: Tensor) -> list[Media]:
        """Make sounds, float32 ``(1, T)`` in [-1, 1] on the CPU, with their sample rate."""
        waves = [self._wave(values, int(seed)) for values, seed in zip(decoded, seeds)]
        meta = {"sample_rate": float(self.config.mel.sample_rate)}
        pairs = zip(waves, features.detach().float().cpu())
        return [Media(self.modality, data=wave, meta=meta, features=feature) for wave, feature in pairs]

    def _wave(self, values: Tensor, seed: int) -> Tensor:
        mel = self.config.mel
        if self.vocoder is None:
            return to_wave(values, mel, seed=seed, steps=self.config.griffin_lim_steps)
        wave: Tensor = self.vocoder(values.to(self.vocoder.dtype)).reshape(1, -1)
        return wave[:, : mel.frames * mel.hop].float().clamp(-1, 1).cpu()

    def enable_checkpointing(self) -> None:
        """Turn on gradient checkpointing by a function that names the arguments diffusers gives by position."""
        self.unet.enable_gradient_checkpointing(checkpoint_by_name)

    def load_weights(self) -> None:
        """Load what ``weights`` names, and the vocoder of ``vocoder`` or of the same folder."""
        self.vocoder = None
        super().load_weights()
        folder = self._vocoder_folder()
        if folder is not None:
            self.vocoder = load_vocoder(folder, self.config.mel)
            self.finish_parts()

    def _vocoder_folder(self) -> Path | None:
        if self.config.vocoder is not None:
            return Path(self.config.vocoder)
        within = None if self.config.weights is None else Path(self.config.weights) / "vocoder"
        return within if within is not None and within.is_dir() else None

    def weight_files(self) -> list[Path]:
        """The folders that ``weights`` and ``vocoder`` name."""
        own = [] if self.config.vocoder is None else [Path(self.config.vocoder)]
        return [*super().weight_files(), *own]

    def portable_options(self, folder: Path, name: str) -> dict[str, Any]:
        """Save the vocoder, where there is one, beside the model."""
        options = super().portable_options(folder, name)
        if self.vocoder is None:
            return {**options, "vocoder": None}
        self.vocoder.save_pretrained(folder / name / "vocoder")
        return {**options, "vocoder": f"@/{name}/vocoder"}

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors``, ``config.json`` and, where there is one, the vocoder's folder."""
        vocoder, self.vocoder = self.vocoder, None
        try:
            super().save(folder)
        finally:
            self.vocoder = vocoder
        if vocoder is not None:
            vocoder.save_pretrained(Path(folder) / "vocoder")

    def load_published(self, source: str) -> None:
        """Load the layout of ``cvssp/audioldm2``."""
        published = read(self.config, source, self.unet, self.autoencoder.vae)
        self.take_networks(published.networks)
