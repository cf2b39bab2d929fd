"""Baselines without a generator: the input again, or somebody else's answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from anyloom.building import build_named
from anyloom.conversation.segments import Media, Message
from anyloom.errors import ConfigError
from anyloom.interfaces import Baseline, ComponentConfig, Encoder, Question, Sample

__all__ = ["Copying", "Features", "NearestNeighbour", "wanted_modality"]


def wanted_modality(question: Question) -> str:
    """The modality of the only medium that is wanted.

    Raises:
        anyloom.errors.ConfigError: None or several are.

    >>> from anyloom.conversation import Conversation
    >>> wanted_modality(Question(Conversation([]), ("text", "image")))
    'image'
    """
    media = [name for name in question.wanted if name != "text"]
    if len(media) != 1:
        raise ConfigError(f"the answer has {len(media)} media, and this baseline makes one", where="suite")
    return media[0]


class Features:
    """Features of media by an encoder component, one vector ``(L * D,)`` each.

    Args:
        options: The encoder as a config has it.
        device: Where it runs.
    """

    def __init__(self, options: dict[str, Any], device: torch.device) -> None:
        self.device = device
        self.encoder: Encoder = build_named("encoder", options, where="baseline.encoder")
        self.encoder.load_weights()
        self.encoder.to(device).eval()

    @torch.no_grad()
    def __call__(self, media: Sequence[Media]) -> Tensor:
        """Encode media of one modality, ``(N, L, D)``."""
        stack = torch.stack([self.encoder.preprocess(m) for m in media]).to(self.device)
        features: Tensor = self.encoder(stack, media[0].modality)
        return features.float()


class Copying(Baseline):
    """Answers with the medium that is to be edited: the distance that an edit has to beat.

    >>> from anyloom.conversation import Conversation
    >>> shown = Media("image", torch.rand(3, 8, 8))
    >>> asked = Question(Conversation([Message("user", ["Darker.", shown])]), ("image",))
    >>> bool((Copying(Copying.Config()).answer(asked, seed=0).media[0].tensor() == shown.tensor()).all())
    True
    """

    def answer(self, question: Question, seed: int) -> Message:
        """The last medium of each wanted modality."""
        del seed
        wanted = [name for name in question.wanted if name != "text"]
        return Message(
            "assistant",
            [Media(name, question.source(name).tensor(), meta=question.source(name).meta) for name in wanted],
        )


class NearestNeighbour(Baseline):
    """Answers with the answer of the training question whose medium is nearest, by squared distance of features.

    >>> from anyloom.conversation import Conversation
    >>> levels = [Media("image", torch.full((3, 8, 8), level)) for level in (0.1, 0.2, 0.8, 0.9)]
    >>> known = [
    ...     Sample(Conversation([Message("user", [a]), Message("assistant", [b])]), "edit")
    ...     for a, b in (levels[:2], levels[2:])
    ... ]
    >>> encoder = {"name": "conv", "size": 16, "grid": 8, "layout_dim": 24, "meaning_dim": 4, "widths": [8, 8]}
    >>> baseline = NearestNeighbour(NearestNeighbour.Config(encoder=encoder))
    >>> baseline.prepare(known, torch.device("cpu"))
    >>> asked = Question(Conversation([Message("user", levels[2:3])]), ("image",))
    >>> round(float(baseline.answer(asked, seed=0).media[0].tensor().mean()), 3)
    0.9
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            encoder: An encoder component, such as ``{name: imagebind, weights: FILE}``.
        """

        encoder: dict[str, Any]

    needs_training_set = True

    def prepare(self, training: Sequence[Sample], device: torch.device) -> None:
        """Encode the media of all training questions."""
        self.features = Features(self.config.encoder, device)
        self.known: dict[str, tuple[Tensor, list[Media]]] = {}
        found: dict[str, list[tuple[Media, Media]]] = {}
        for sample in training:
            for target in sample.conversation.messages[-1].media[:1]:
                shown = [m for message in sample.conversation.messages[:-1] for m in message.media]
                same = [m for m in shown if m.modality == target.modality]
                if same:
                    found.setdefault(target.modality, []).append((same[-1], target))
        for modality, pairs in found.items():
            vectors = torch.cat([self.features([source]).flatten(1) for source, _ in pairs])
            self.known[modality] = vectors, [target for _, target in pairs]

    def answer(self, question: Question, seed: int) -> Message:
        """The target of the nearest training question."""
        del seed
        modality = wanted_modality(question)
        if modality not in self.known:
            raise ConfigError(f"no training question is answered with {modality}", where="suite.data")
        vectors, targets = self.known[modality]
        mine = self.features([question.source(modality)]).flatten(1)
        nearest = targets[int((vectors - mine).square().sum(1).argmin())]
        return Message("assistant", [Media(modality, nearest.tensor(), meta=nearest.meta)])
