"""Samples one behind another without padding, each of which attends to itself alone.

Linear layers and norms do not know of rows, so padding is left out before them. Attention is called once for each
sample: no mask is built, and nothing is computed that a mask would throw away. Shape legend: B rows, S positions,
T positions that hold something, N heads, K heads of keys, D width of a head, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

__all__ = ["Apart", "attend", "attend_apart", "sample_limit"]

_NAME: Final = "sdpa_by_sample"

_WINDOWS: Final = ("sliding_window", "attention_chunk_size", "local_attention", "window_size")
"""Where configurations say how far back some of their layers look."""


@dataclass(frozen=True)
class Apart:
    """The samples of a batch without padding, one behind another.

    Args:
        index: Cells of the batch that hold something ``(T,)``, row after row.
        lengths: Positions of each sample, in the same order.
        shape: B and S.

    >>> apart = Apart.of(torch.tensor([[1, 1, 2, 0], [1, 1, 1, 0]]))
    >>> apart.lengths, apart.index.tolist()
    ([2, 1, 3], [0, 1, 2, 4, 5, 6])
    """

    index: Tensor
    lengths: list[int]
    shape: tuple[int, int]

    @classmethod
    def of(cls, segments: Tensor) -> Apart:
        """Find the samples by their segments ``(B, S)``, 0 where padding is."""
        rows, length = segments.shape
        index = segments.flatten().nonzero()[:, 0]
        sample = segments.flatten()[index] + index // length * (length + 1)  # other rows have other numbers
        return cls(index, torch.unique_consecutive(sample, return_counts=True)[1].tolist(), (rows, length))

    def joined(self, cells: Tensor) -> Tensor:
        """What stands in the cells ``(B, S, ...)``, in one row ``(1, T, ...)``."""
        flat = cells.flatten(0, 1)
        return (flat if len(self.index) == len(flat) else flat[self.index])[None]

    def spread(self, row: Tensor) -> Tensor:
        """The other way round ``(B, S, ...)``; zeros in padding."""
        held, cells = row[0], self.shape[0] * self.shape[1]
        if len(held) < cells:
            held = held.new_zeros(cells, *held.shape[1:]).index_copy(0, self.index, held)
        return held.view(*self.shape, *held.shape[1:])


def places(position_ids: Tensor, lengths: Sequence[int]) -> dict[str, Any]:
    """What a model that :func:`attend_apart` was called for is told of a row, beside its embeddings.

    Args:
        position_ids: ``(1, T)``, from 0 on in every sample.
        lengths: Positions of each sample.
    """
    return {
        "position_ids": position_ids,
        # four dimensions: transformers takes it for a mask that is ready, and builds none
        "attention_mask": torch.zeros(1, 1, 1, 1, dtype=torch.bool, device=position_ids.device),
        "sample_lengths": lengths,
    }


def attend_apart(model: Any) -> None:
    """Let a model that attends with ``sdpa`` take samples apart where it is told of them; nothing else changes."""
    AttentionInterface.register(_NAME, attend)
    AttentionMaskInterface.register(_NAME, sdpa_mask)
    model.set_attn_implementation(_NAME)


def sample_limit(architecture: PretrainedConfig) -> int | None:
    """The longest sample in which every position reads all before it, by all layers; None without such a limit."""
    windows = [getattr(architecture, name, None) for name in _WINDOWS]
    return min((w for w in windows if isinstance(w, int)), default=None)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    sample_lengths: Sequence[int] | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Causal attention of each sample to itself.

    Args:
        module: The layer.
        query: ``(1, N, T, D)``.
        key: ``(1, K, T, D)``.
        value: ``(1, K, T, D)``.
        attention_mask: Passed on where no lengths are given.
        sample_lengths: Of the samples, T in all.
        options: Those of transformers' own function.
    """
    if sample_lengths is None:
        found, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return found, None
    if options.get("position_bias") is not None:
        raise ValueError("a bias that knows positions of the row knows none of its samples")
    parts = zip(*(torch.split(x, list(sample_lengths), 2) for x in (query, key, value)), strict=True)
    return torch.cat([sdpa_attention_forward(module, *part, None, **options)[0] for part in parts], 1), None
