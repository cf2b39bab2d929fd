"""The transformer of every ImageBind tower: pre-norm blocks, GELU, attention that may have one learnt extra key.

Shape legend: N inputs, L tokens, W width.
"""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["NORM_EPS", "Block", "Trunk"]

NORM_EPS: Final = 1e-6
_MLP_RATIO: Final = 4


class MLP(nn.Module):
    """Two linear layers around an exact GELU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, _MLP_RATIO * width)
        self.fc2 = nn.Linear(_MLP_RATIO * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, L, W)`` token by token."""
        hidden: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return hidden


class Block(nn.Module):
    """Attention, then an MLP, each on normalised input and added to it.

    Args:
        width: W.
        heads: Attention heads.
        extra_key: Add one learnt key and value that every token may attend to (all towers but vision and text).
    """

    def __init__(self, width: int, heads: int, *, extra_key: bool) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, add_bias_kv=extra_key, batch_first=True)
        self.mlp = MLP(width)
        self.norm_1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.norm_2 = nn.LayerNorm(width, eps=NORM_EPS)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map ``(N, L, W)``; ``mask`` ``(L, L)`` is added to the attention scores."""
        y = self.norm_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.norm_2(x))  # type: ignore[no-any-return]


class Trunk(nn.Module):
    """A stack of blocks.

    Args:
        width: W.
        blocks: Number of blocks.
        heads: Attention heads.
        extra_key: See :class:`Block`.
        norm_first: Normalise the tokens before the first block (the vision tower).
    """

    def __init__(self, width: int, blocks: int, heads: int, *, extra_key: bool, norm_first: bool) -> None:
        super().__init__()
        if norm_first:
            self.pre_transformer_layer = nn.Sequential(nn.LayerNorm(width, eps=NORM_EPS))
        self.blocks = nn.ModuleList(Block(width, heads, extra_key=extra_key) for _ in range(blocks))
        self.norm_first = norm_first

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map tokens ``(N, L, W)``."""
        x = self.pre_transformer_layer(x) if self.norm_first else x
        for block in self.blocks:
            x = block(x, mask)
        return x
