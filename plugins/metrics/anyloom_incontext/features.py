"""Features of media, encoded once per content key and shared by all metrics of one model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom.interfaces import Encoder, ModelView
from anyloom_incontext.kept_rows import KeptRows

__all__ = ["FeatureTable", "identity"]

_AT_ONCE = 256


def identity(media: Media) -> str:
    """The content key of a media item, or the object itself where it has none.

    >>> identity(Media("image", key="hat"))
    'hat'
    """
    return media.key or f"object {id(media)}"


class FeatureTable:
    """Encodes media of one modality with the model's encoder, each content key once.

    As long as the encoder is frozen, all tables of one encoder have the same rows.

    Args:
        model: Whose encoder is used.
        modality: Which media.
    """

    def __init__(self, model: ModelView, modality: str) -> None:
        self.encoder, self.modality, self.device = model.encoder(modality), modality, model.device
        self._rows: dict[str, Tensor] = {}
        if self.encoder.frozen:
            kept = _SHARED.setdefault(self.encoder, {})
            self._rows = kept.setdefault((modality, str(self.device)), self._rows)

    def add(self, media: Iterable[Media]) -> None:
        """Encode those that are not here yet."""
        new = {identity(m): m for m in media if not m.key or m.key not in self._rows}
        names, items = list(new), list(new.values())
        for start in range(0, len(items), _AT_ONCE):
            rows = self.encode(items[start : start + _AT_ONCE])
            self._rows.update(zip(names[start : start + _AT_ONCE], rows))

    def add_listed(self, media: Sequence[Media], source: str | None) -> None:
        """Encode a whole gallery, or take its features from an earlier run.

        Args:
            media: All of them.
            source: What they depend on besides their keys; None where nobody knows, so that nothing is kept.
        """
        if source is None or not self.encoder.frozen or not all(m.key for m in media):
            self.add(media)
            return
        if all(m.key in self._rows for m in media):
            return
        kept = KeptRows(self.encoder, self.modality, str(self.device), [m.key for m in media], source)
        rows = kept.read()
        if rows is None:
            self.add(media)
            kept.write(self.get(media))
            return
        for medium, row in zip(media, rows, strict=True):
            self._rows.setdefault(medium.key, row)

    @torch.no_grad()
    def encode(self, media: Sequence[Media]) -> Tensor:
        """Features ``(N, L*D)`` of media that are not kept."""
        training = self.encoder.training
        self.encoder.eval()
        inputs = torch.stack([self.encoder.preprocess(m) for m in media]).to(self.device)
        features: Tensor = self.encoder(inputs, self.modality).float().cpu().flatten(1)
        self.encoder.train(training)
        return features

    def get(self, media: Sequence[Media]) -> Tensor:
        """Features ``(N, L*D)`` of media that were added."""
        return torch.stack([self._rows[identity(m)] for m in media])


_SHARED: WeakKeyDictionary[Encoder, dict[tuple[str, str], dict[str, Tensor]]] = WeakKeyDictionary()
