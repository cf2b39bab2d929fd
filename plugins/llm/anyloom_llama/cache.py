"""Keys and values of transformers' attention layers as the framework's KVCache.

Every layer keeps every position, sliding windows too: their masks look at a window of it, and only so can a cache be
cut back to any length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache

__all__ = ["LayerCache", "join"]


class LayerCache:
    """A :class:`anyloom.interfaces.llm.KVCache` around a ``DynamicCache``, whose layers hold ``(B, heads, P, width)``.

    Args:
        layers: What transformers extends; empty by default.
    """

    def __init__(self, layers: DynamicCache | None = None) -> None:
        self.layers = DynamicCache() if layers is None else layers

    @property
    def length(self) -> int:
        """P."""
        return int(self.layers.get_seq_length())

    def crop(self, length: int) -> None:
        """Forget all but the first ``length`` positions, in place.

        Raises:
            ValueError: There are fewer.
        """
        self._check(length)
        self._cut(slice(0, length))

    def trim(self, count: int) -> None:
        """Forget the first ``count`` positions, in place.

        Raises:
            ValueError: There are fewer.
        """
        self._check(count)
        self._cut(slice(count, None))

    def select(self, rows: Tensor) -> LayerCache:
        """A cache of some rows ``(B',)``, in this order; this one stays as it is."""
        return self._mapped(lambda t: t.index_select(0, rows.to(t.device)))

    def padded(self, length: int) -> LayerCache:
        """A cache of ``length`` positions, zeros on the left."""
        return self._mapped(lambda t: F.pad(t, (0, 0, length - self.length, 0)))

    def _check(self, count: int) -> None:
        if not 0 <= count <= self.length:
            raise ValueError(f"the cache has {self.length} positions, not {count}")

    def _cut(self, kept: slice) -> None:
        for layer in self.layers.layers:
            layer.keys, layer.values = layer.keys[:, :, kept], layer.values[:, :, kept]

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> LayerCache:
        pairs = [(change(layer.keys), change(layer.values)) for layer in self.layers.layers]
        return LayerCache(_dynamic(pairs))


def join(caches: Sequence[LayerCache]) -> LayerCache:
    """One cache with the rows of several, one under another, padded on the left to the longest."""
    longest = max(cache.length for cache in caches)
    padded = [cache.padded(longest).layers.layers for cache in caches]
    return LayerCache(
        _dynamic(
            [
                (torch.cat([layer.keys for layer in each]), torch.cat([layer.values for layer in each]))
                for each in zip(*padded, strict=True)
            ]
        )
    )


def _dynamic(pairs: Sequence[tuple[Tensor, Tensor]]) -> DynamicCache:
    made = DynamicCache()
    for index, (keys, values) in enumerate(pairs):
        made.update(keys, values, index)
    return made
