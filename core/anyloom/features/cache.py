"""Features of frozen encoders, kept so that nothing is encoded twice: what a store of them does, and one in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from anyloom.conversation.segments import Media
from anyloom.interfaces.component import NeuralComponent

__all__ = ["FeatureCache", "FeatureStore", "Kept"]

Kept = tuple[NeuralComponent, nn.Module, str]
"""A component, what of it makes the features or latents, and the modality of the media."""


class FeatureStore(Protocol):
    """Features in tables, by names of media. Collators read, also in data workers; whoever encodes puts."""

    counts: Counter[str]
    """How many features were ``read`` and ``encoded``, and how many entries were found ``broken``, in this process."""

    def name(self, media: Media) -> str:
        """Name of a medium here; ``""`` if its features cannot be kept."""
        ...

    def read(self, table: str, name: str) -> Tensor | None:
        """Features ``(L, D)`` of a name, or None."""
        ...

    def put(self, table: str, names: Sequence[str], features: Tensor) -> None:
        """Keep features ``(U, L, D)``."""
        ...


class FeatureCache:
    """A growing table of features per modality, in memory, by the media's keys.

    >>> cache = FeatureCache()
    >>> cache.put("picture", ["a", ""], torch.ones(2, 1, 4))
    >>> cache.read("picture", "a"), cache.read("picture", "")
    (tensor([[1., 1., 1., 1.]]), None)
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._rows: dict[str, dict[str, int]] = {}
        self._table: dict[str, Tensor] = {}

    def name(self, media: Media) -> str:
        """The medium's key: media without one are never kept."""
        return media.key

    def read(self, table: str, name: str) -> Tensor | None:
        """Features ``(L, D)`` of a key, or None."""
        row = self._rows.get(table, {}).get(name)
        return None if row is None else self._table[table][row]

    def put(self, table: str, names: Sequence[str], features: Tensor) -> None:
        """Keep features ``(U, L, D)``; rows with an empty or known name are left out."""
        rows = self._rows.setdefault(table, {})
        new: dict[str, int] = {}
        for u, name in enumerate(names):
            if name and name not in rows:
                new.setdefault(name, u)
        if not new:
            return
        size, held = len(rows), self._table.get(table)
        need = size + len(new)
        if held is None or need > len(held):
            grown = features.new_empty((max(need, 2 * size, 1024), *features.shape[1:]))
            if held is not None:
                grown[:size] = held[:size]
            self._table[table] = held = grown
        held[size:need] = features[torch.tensor(list(new.values()), device=features.device)].detach()
        rows.update({name: size + n for n, name in enumerate(new)})
