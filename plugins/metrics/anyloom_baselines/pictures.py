"""Edits of pictures by diffusers' own pipelines, with the settings that the papers name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from anyloom.conversation.segments import Media, Message
from anyloom.errors import ConfigError
from anyloom.interfaces import Baseline, ComponentConfig, Question, Sample
from anyloom.signal.resizing import resized
from anyloom_baselines.loading import load_pipeline

__all__ = ["DDIMInversion", "InstructPix2Pix", "SDEdit", "words_of"]

_NO_CHECKER: Final = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}


class _Published(ComponentConfig):
    """Options that all have.

    Args:
        weights: Folder of the published pipeline.
        size: Side of the picture that is edited; it is covered and cropped to a square.
        denoising_steps: Steps.
        guidance: Scale of the words.
    """

    weights: Path
    size: PositiveInt = 512
    denoising_steps: PositiveInt = 100
    guidance: NonNegativeFloat = 7.5


class _Pipeline(Baseline):
    kind = ""
    config: Any

    def prepare(self, training: Sequence[Sample], device: torch.device) -> None:
        """Load the pipeline."""
        del training
        self.device = device
        self.pipeline = load_pipeline(self.kind, self.config.weights, device, **_NO_CHECKER)

    def _source(self, question: Question) -> Tensor:
        """The picture to edit, ``(1, 3, size, size)`` in 0..1."""
        picture = question.source("image").tensor().float()
        return resized(picture, (self.config.size, self.config.size)).clamp(0, 1)[None].to(self.device)

    def _generator(self, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    @torch.no_grad()
    def answer(self, question: Question, seed: int) -> Message:
        """Edit the last picture of the question."""
        made = self._edited(question, seed)[0].float().clamp(0, 1).cpu()
        return Message("assistant", [Media("image", made)])

    def _edited(self, question: Question, seed: int) -> Tensor:
        raise NotImplementedError


class InstructPix2Pix(_Pipeline):
    """InstructPix2Pix (arXiv 2211.09800, section 3.2.1): two scales of guidance.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import torch
    >>> from anyloom.interfaces import Question
    >>> from anyloom_baselines.tiny import instruct_pix2pix
    >>> with TemporaryDirectory() as folder:
    ...     case = instruct_pix2pix(Path(folder))  # a very small pipeline as it is published, with random weights
    ...     baseline = InstructPix2Pix.from_options(case.options)
    ...     baseline.prepare(case.training, torch.device("cpu"))
    ...     sample = case.questions[0]
    ...     asked = Question(sample.conversation.prompt(), ("image",), sample.provenance)
    ...     baseline.answer(asked, seed=0).media[0].tensor().shape
    torch.Size([3, 16, 16])
    """

    class Config(_Published):
        """Options.

        Args:
            image_guidance: Scale of the picture that is edited.
        """

        image_guidance: NonNegativeFloat = 1.5

    kind = "StableDiffusionInstructPix2PixPipeline"

    def _edited(self, question: Question, seed: int) -> Tensor:
        images: Tensor = self.pipeline(
            prompt=question.instruction,
            image=self._source(question),
            num_inference_steps=self.config.denoising_steps,
            guidance_scale=self.config.guidance,
            image_guidance_scale=self.config.image_guidance,
            generator=self._generator(seed),
            output_type="pt",
        ).images
        return images


def words_of(question: Question, says: str) -> str:
    """What the picture is to show: its caption after the edit, or the instruction.

    >>> from anyloom.conversation import Conversation, Message
    >>> asked = Conversation([Message("user", "make it red")])
    >>> question = Question(asked, ("image",), {"edited_caption": "a red hat"})
    >>> words_of(question, "instruction"), words_of(question, "caption")
    ('make it red', 'a red hat')
    """
    if says == "instruction":
        return question.instruction
    caption = question.facts.get("edited_caption")
    if not isinstance(caption, str):
        raise ConfigError(
            "the question has no caption of the edited picture", where="baseline.says", fix="baseline.says=instruction"
        )
    return caption


class SDEdit(_Pipeline):
    """SDEdit (arXiv 2108.01073): noise up to a part of the way, then the words.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import torch
    >>> from anyloom.interfaces import Question
    >>> from anyloom_baselines.tiny import sdedit
    >>> with TemporaryDirectory() as folder:
    ...     case = sdedit(Path(folder))  # a very small pipeline as it is published, with random weights
    ...     baseline = SDEdit.from_options(case.options)
    ...     baseline.prepare(case.training, torch.device("cpu"))
    ...     sample = case.questions[0]
    ...     asked = Question(sample.conversation.prompt(), ("image",), sample.provenance)
    ...     baseline.answer(asked, seed=0).media[0].tensor().shape
    torch.Size([3, 16, 16])
    """

    class Config(_Published):
        """Options.

        Args:
            strength: Share of the way to noise; more follows the words and keeps less of the picture.
            says: Whether the words are the caption after the edit, as SDEdit needs, or the instruction.
        """

        strength: float = Field(0.75, gt=0, le=1)
        says: Literal["edited_caption", "instruction"] = "edited_caption"

    kind = "StableDiffusionImg2ImgPipeline"

    def _edited(self, question: Question, seed: int) -> Tensor:
        images: Tensor = self.pipeline(
            prompt=words_of(question, self.config.says),
            image=self._source(question),
            strength=self.config.strength,
            num_inference_steps=self.config.denoising_steps,
            guidance_scale=self.config.guidance,
            generator=self._generator(seed),
            output_type="pt",
        ).images
        return images


class DDIMInversion(_Pipeline):
    """DDIM inversion (arXiv 2010.02502, section 4.3): back to noise with the caption, forth with the new one.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import torch
    >>> from anyloom.interfaces import Question
    >>> from anyloom_baselines.tiny import ddim_inversion
    >>> with TemporaryDirectory() as folder:
    ...     case = ddim_inversion(Path(folder))  # a very small pipeline as it is published, with random weights
    ...     baseline = DDIMInversion.from_options(case.options)
    ...     baseline.prepare(case.training, torch.device("cpu"))
    ...     sample = case.questions[0]
    ...     asked = Question(sample.conversation.prompt(), ("image",), sample.provenance)
    ...     baseline.answer(asked, seed=0).media[0].tensor().shape
    torch.Size([3, 16, 16])
    """

    class Config(_Published):
        """Options.

        Args:
            says: Whether the new words are the caption after the edit, or the instruction.
        """

        says: Literal["edited_caption", "instruction"] = "edited_caption"

    kind = "StableDiffusionPipeline"

    def _edited(self, question: Question, seed: int) -> Tensor:
        from diffusers import DDIMScheduler

        del seed  # nothing is drawn
        latents = self._inverted(self._source(question), str(question.facts.get("caption") or ""))
        self.pipeline.scheduler = DDIMScheduler.from_config(self.pipeline.scheduler.config)
        images: Tensor = self.pipeline(
            prompt=words_of(question, self.config.says),
            latents=latents,
            num_inference_steps=self.config.denoising_steps,
            guidance_scale=self.config.guidance,
            output_type="pt",
        ).images
        return images

    def _inverted(self, picture: Tensor, caption: str) -> Tensor:
        from diffusers import DDIMInverseScheduler

        pipeline = self.pipeline
        words, _ = pipeline.encode_prompt(caption, self.device, 1, False)
        vae = pipeline.vae
        latents: Tensor = vae.encode(picture * 2 - 1).latent_dist.mode() * vae.config.scaling_factor
        scheduler = DDIMInverseScheduler.from_config(pipeline.scheduler.config)
        scheduler.set_timesteps(self.config.denoising_steps, device=self.device)
        for time in scheduler.timesteps:
            predicted = pipeline.unet(latents, time, encoder_hidden_states=words, return_dict=False)[0]
            latents = scheduler.step(predicted, time, latents, return_dict=False)[0]
        return latents
