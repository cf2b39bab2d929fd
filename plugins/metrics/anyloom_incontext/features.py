"""Features of media, encoded once per content key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from anyloom import AnyToAnyModel
from anyloom.conversation import Media

__all__ = ["FeatureTable", "identity", "number_of"]

_AT_ONCE = 256


def identity(media: Media) -> str:
    """The content key of a media item, or the object itself where it has none."""
    return media.key or f"object {id(media)}"


def number_of(name: str) -> int:
    """A number of 63 bits that stands for a name in a tensor.

    >>> number_of("a") == number_of("a") != number_of("b")
    True
    """
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


class FeatureTable:
    """Encodes media of one modality with the model's encoder, each content key once.

    Args:
        model: Whose encoder is used.
        modality: Which media.
    """

    def __init__(self, model: AnyToAnyModel, modality: str) -> None:
        self.encoder, self.modality, self.device = model.encoder(modality), modality, model.device
        self._rows: dict[str, Tensor] = {}

    def serves(self, model: AnyToAnyModel) -> bool:
        """Whether what is kept here holds for another model: it has the same encoder, and that does not train."""
        return self.encoder is model.encoder(self.modality) and self.encoder.frozen and self.device == model.device

    @torch.no_grad()
    def add(self, media: Iterable[Media]) -> None:
        """Encode those that are not here yet."""
        new = {identity(m): m for m in media if not m.key or m.key not in self._rows}
        items = list(new.items())
        training = self.encoder.training
        self.encoder.eval()
        for start in range(0, len(items), _AT_ONCE):
            part = items[start : start + _AT_ONCE]
            inputs = torch.stack([self.encoder.preprocess(m) for _, m in part]).to(self.device)
            features = self.encoder(inputs, self.modality).float().cpu().flatten(1)
            self._rows.update({name: row for (name, _), row in zip(part, features)})
        self.encoder.train(training)

    def get(self, media: Sequence[Media]) -> Tensor:
        """Features ``(N, L*D)`` of media that were added."""
        return torch.stack([self._rows[identity(m)] for m in media])
