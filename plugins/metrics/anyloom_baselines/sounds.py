"""SDEdit for sounds, on AudioLDM2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from anyloom.conversation.segments import Media, Message
from anyloom.diffusion.sound import MelOptions, sound_to_log_mel
from anyloom.interfaces import Baseline, ComponentConfig, Question, Sample
from anyloom_baselines.loading import load_pipeline
from anyloom_baselines.pictures import words_of

__all__ = ["AudioSDEdit"]


class AudioSDEdit(Baseline):
    """The sound's log-mel, noised part of the way and denoised by AudioLDM2 (arXiv 2308.05734) with the words.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import torch
    >>> from anyloom.interfaces import Question
    >>> from anyloom_baselines.tiny import audio_sdedit
    >>> with TemporaryDirectory() as folder:
    ...     case = audio_sdedit(Path(folder))  # a very small pipeline as it is published, with random weights
    ...     baseline = AudioSDEdit.from_options(case.options)
    ...     baseline.prepare(case.training, torch.device("cpu"))
    ...     sample = case.questions[0]
    ...     asked = Question(sample.conversation.prompt(), ("audio",), sample.provenance)
    ...     baseline.answer(asked, seed=0).media[0].tensor().shape
    torch.Size([1, 1024])
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            weights: Folder of the published pipeline.
            mel: The spectrogram of the sound.
            strength: Share of the way to noise.
            denoising_steps: Steps of the whole way.
            guidance: Scale of the words.
            says: Whether the words are the caption after the edit, or the instruction.
        """

        weights: Path
        mel: MelOptions = MelOptions()
        strength: float = Field(0.5, gt=0, le=1)
        denoising_steps: PositiveInt = 200
        guidance: NonNegativeFloat = 3.5
        says: Literal["edited_caption", "instruction"] = "edited_caption"

    config: Config

    def prepare(self, training: Sequence[Sample], device: torch.device) -> None:
        """Load the pipeline."""
        del training
        self.device = device
        self.pipeline = load_pipeline("AudioLDM2Pipeline", self.config.weights, device, feature_extractor=None)

    @torch.no_grad()
    def answer(self, question: Question, seed: int) -> Message:
        """Edit the last sound of the question."""
        config, pipeline = self.config, self.pipeline
        mel = sound_to_log_mel(question.source("audio"), config.mel)[None].to(self.device)
        latents = pipeline.vae.encode(mel).latent_dist.mode() * pipeline.vae.config.scaling_factor
        latents = self._denoised(latents, words_of(question, config.says), seed)
        decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
        wave = pipeline.mel_spectrogram_to_waveform(decoded).reshape(1, -1)
        wave = wave[:, : config.mel.frames * config.mel.hop].float().clamp(-1, 1).cpu()
        return Message("assistant", [Media("audio", wave, meta={"sample_rate": float(config.mel.sample_rate)})])

    def _denoised(self, latents: Tensor, words: str, seed: int) -> Tensor:
        config, pipeline, scheduler = self.config, self.pipeline, self.pipeline.scheduler
        guided = config.guidance > 1
        embeds, mask, generated = pipeline.encode_prompt(words, self.device, 1, guided)
        scheduler.set_timesteps(config.denoising_steps, device=self.device)
        first = len(scheduler.timesteps) - max(1, int(len(scheduler.timesteps) * config.strength))
        times = scheduler.timesteps[first:]
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed)).to(latents)
        latents = scheduler.add_noise(latents, noise, times[:1])
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        for time in times:
            both = scheduler.scale_model_input(torch.cat([latents] * 2) if guided else latents, time)
            predicted = pipeline.unet(
                both,
                time,
                encoder_hidden_states=generated,
                encoder_hidden_states_1=embeds,
                encoder_attention_mask_1=mask,
                return_dict=False,
            )[0]
            if guided:
                free, told = predicted.chunk(2)
                predicted = free + config.guidance * (told - free)
            latents = scheduler.step(predicted, time, latents, return_dict=False)[0]
        return latents
