"""Word2vec's analogy on media: c(x) + mean(c(after) - c(before))."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from anyloom.building import build_named
from anyloom.conversation.segments import Message
from anyloom.interfaces import Baseline, ComponentConfig, Condition, Decoder, Question, Sample
from anyloom_baselines.plain import Features, wanted_modality

__all__ = ["VectorArithmetic"]


class VectorArithmetic(Baseline):
    """Adds the mean change of the question's examples to the feature of its input, and decodes the sum.

    The media of the question are pairs (before, after), and the input last. Without examples the input is decoded.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import torch
    >>> from anyloom.interfaces import Question
    >>> from anyloom_baselines.tiny import vector_arithmetic
    >>> with TemporaryDirectory() as folder:
    ...     case = vector_arithmetic(Path(folder))  # an encoder and a decoder with random weights
    ...     baseline = VectorArithmetic.from_options(case.options)
    ...     baseline.prepare(case.training, torch.device("cpu"))
    ...     sample = case.questions[0]
    ...     asked = Question(sample.conversation.prompt(), ("image",), sample.provenance)
    ...     baseline.answer(asked, seed=0).media[0].tensor().shape
    torch.Size([3, 16, 16])
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            encoder: An encoder component.
            decoder: A decoder component in the encoder's space.
        """

        encoder: dict[str, Any]
        decoder: dict[str, Any]

    def prepare(self, training: Sequence[Sample], device: torch.device) -> None:
        """Build and load both."""
        del training
        self.features = Features(self.config.encoder, device)
        self.decoder: Decoder = build_named("decoder", self.config.decoder, where="baseline.decoder")
        self.decoder.load_weights()
        self.decoder.to(device).eval()

    @torch.no_grad()
    def answer(self, question: Question, seed: int) -> Message:
        """Decode the sum."""
        modality = wanted_modality(question)
        source = question.source(modality)
        shown = question.media(modality)[:-1]
        vectors = self.features([*shown, source])
        before, after = vectors[:-1][0::2][: len(shown) // 2], vectors[:-1][1::2]
        change = (after - before).mean(0, keepdim=True) if len(shown) > 1 else torch.zeros_like(vectors[-1:])
        made = self.decoder.generate(Condition(vectors[-1:] + change), seeds=[seed])
        return Message("assistant", made)
