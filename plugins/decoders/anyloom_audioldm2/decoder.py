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
from anyloom.storage.headers import headers_only
from anyloom_audioldm2.config import GRIFFIN_LIM, AudioLDM2Config
from anyloom_audioldm2.published import read
from anyloom_audioldm2.vocoder import build_vocoder, load_vocoder

__all__ = ["AudioLDM2Decoder"]


class AudioLDM2Decoder(LatentDiffusionDecoder):
    """AudioLDM2 (arXiv 2308.05734) conditioned on features alone (CoDi-2, section 3.2).

    Features ``(L, D)`` take the slot of the T5 tokens, which has ImageBind's width; the slot of GPT2's tokens is zero.
    The null is the empty prompt in both slots for published weights, zeros for a decoder trained from nothing.

    >>> import torch
    >>> from anyloom.interfaces import Condition
    >>> from anyloom_audioldm2.tiny import TINY
    >>> decoder = AudioLDM2Decoder.from_options(TINY).eval()  # very small, with random weights
    >>> few = decoder.Sampling(denoising_steps=2)
    >>> made = decoder.generate(Condition(torch.zeros(2, 2, 8)), seeds=[0, 1], sampling=few)
    >>> [tuple(one.tensor().shape) for one in made]
    [(1, 1024), (1, 1024)]
    """

    Config = AudioLDM2Config
    config: AudioLDM2Config
    modality = "audio"
    vocoder: Any
    null_lm: Tensor
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
        self.register_buffer("null_lm", torch.zeros(config.lm_tokens, config.lm_dim))
        named = config.vocoder not in (None, GRIFFIN_LIM)
        self.vocoder = build_vocoder(Path(str(config.vocoder)), mel) if named else None
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
        """The features ``(B, L, D)`` themselves, and zeros ``(B, lm_tokens, lm_dim)`` in the place of GPT2's states."""
        return features, features.new_zeros(len(features), *self.null_lm.shape)

    def null_condition(self) -> tuple[Tensor, ...]:
        """The trained null ``(L, D)``, and what GPT2 makes of an empty prompt ``(lm_tokens, lm_dim)``."""
        return self.null, self.null_lm

    def denoise(self, noisy: Tensor, times: Tensor, *condition: Tensor) -> Tensor:
        """Run the network on latents ``(B, Z, h, w)``; see the base class."""
        words, language = condition
        output: Tensor = self.unet(
            noisy, times, encoder_hidden_states=language, encoder_hidden_states_1=words, return_dict=False
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
        named = self.config.vocoder
        if named == GRIFFIN_LIM:
            self.vocoder = None
        elif named is not None:
            self._take_vocoder(Path(named))
        elif self.vocoder is None and self.config.weights is not None:
            beside = Path(self.config.weights) / "vocoder"  # of a decoder that was saved with one
            if beside.is_dir():
                self._take_vocoder(beside)

    def _take_vocoder(self, folder: Path) -> None:
        take = build_vocoder if headers_only() else load_vocoder  # `anyloom check` reads no values
        self.vocoder = take(folder, self.config.mel)
        self.finish_parts()

    def weight_files(self) -> list[Path]:
        """The folders that ``weights`` and ``vocoder`` name."""
        named = self.config.vocoder
        return [*super().weight_files(), *([] if named in (None, GRIFFIN_LIM) else [Path(str(named))])]

    def portable_options(self, folder: Path, name: str) -> dict[str, Any]:
        """Save the vocoder, where there is one, beside the model; the null is among the saved tensors."""
        options = {**super().portable_options(folder, name), "empty_prompt": None}
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
        self.take_networks(published.networks, published.null)
        self.take_schedule(published.schedule)
        if published.null_lm is not None:
            with torch.no_grad():
                self.null_lm.copy_(published.null_lm)
        if published.vocoder is not None:
            self.vocoder = load_vocoder(published.vocoder, self.config.mel)
