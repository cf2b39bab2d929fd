"""Features of frozen encoders, kept by content key so that no media item is encoded twice."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["FeatureCache"]


class FeatureCache:
    """A growing table of features per modality, in memory.

    >>> cache = FeatureCache()
    >>> cache.put("picture", ["a", ""], torch.ones(2, 1, 4))
    >>> cache.has("picture", "a"), cache.has("picture", "")
    (True, False)
    """

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, int]] = {}
        self._table: dict[str, Tensor] = {}

    def has(self, modality: str, key: str) -> bool:
        """Whether the features of this key are here; media without a key never are."""
        return key in self._rows.get(modality, ())

    def put(self, modality: str, keys: Sequence[str], features: Tensor) -> None:
        """Keep features ``(U, L, D)``; rows with an empty or known key are left out."""
        rows = self._rows.setdefault(modality, {})
        new: dict[str, int] = {}
        for u, key in enumerate(keys):
            if key and key not in rows:
                new.setdefault(key, u)
        if not new:
            return
        size, table = len(rows), self._table.get(modality)
        need = size + len(new)
        if table is None or need > len(table):
            grown = features.new_empty((max(need, 2 * size, 1024), *features.shape[1:]))
            if table is not None:
                grown[:size] = table[:size]
            self._table[modality] = table = grown
        table[size:need] = features[torch.tensor(list(new.values()), device=features.device)].detach()
        rows.update({key: size + n for n, key in enumerate(new)})

    def get(self, modality: str, keys: Sequence[str]) -> Tensor:
        """Features ``(U, L, D)`` of keys that are all here."""
        rows = self._rows[modality]
        return self._table[modality][[rows[k] for k in keys]]
