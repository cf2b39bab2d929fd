"""Tiny form of the encoder, for ``anyloom plugins check`` and the tests."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from anyloom.conversation import Media
from anyloom.errors import ConfigError
from anyloom.interfaces import Encoder, FeatureSpace
from anyloom.testing import EncoderCase

__all__ = ["Letters", "encoder"]

_LENGTH = 16


class Letters(Encoder):
    """The mean embedding of a text's first bytes."""

    def __init__(self, config: Encoder.Config) -> None:
        super().__init__(config)
        self.table = nn.Embedding(256, 8)

    def feature_space(self, modality: str) -> FeatureSpace:
        """One vector of 8 numbers."""
        if modality != "text-feature":
            raise ConfigError(f"{modality!r} is no text", where="modality")
        return FeatureSpace(name="letters", dim=8, tokens=1)

    def preprocess(self, media: Media) -> Tensor:
        """Byte values ``(16,)``, filled up with zeros."""
        return nn.functional.pad(media.tensor()[:_LENGTH].long(), (0, max(_LENGTH - len(media.tensor()), 0)))

    def forward(self, inputs: Tensor, modality: str) -> Tensor:
        """Features ``(B, 1, 8)``."""
        mean: Tensor = self.table(inputs).mean(1, keepdim=True)
        return mean

    def example(self, modality: str) -> Tensor:
        """Zeros ``(1, 16)``."""
        return torch.zeros(1, _LENGTH, dtype=torch.long)


def encoder(folder: Path) -> EncoderCase:
    """Pictures with captions."""
    del folder
    media = [Media("image", torch.rand(3, 8, 8)).captioned(words) for words in ("six legs", "größer als 3 €")]
    options = {"encoder": {"class_path": "anyloom_captions.tiny.Letters"}}
    return EncoderCase("captions", options=options, media=media)
