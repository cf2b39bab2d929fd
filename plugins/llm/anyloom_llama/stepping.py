"""One more position of every row of a Llama, without what transformers does around its layers for each call.

The sums are those of transformers' own forward, to the last bit; a test holds both together. Shape legend: B rows,
P positions in the cache with the new one, H hidden size, N heads, K heads of keys, D width of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama import modeling_llama as llama

from anyloom_llama.cache import LayerCache

__all__ = ["one_position", "takes_steps", "whole_layers"]

_KINDS = (llama.LlamaAttention, llama.LlamaMLP, llama.LlamaRMSNorm, llama.LlamaRMSNorm)


def takes_steps(model: Any) -> bool:
    """Whether :func:`one_position` does what the model itself would do.

    It passes over whole layers, so nothing may hang on those: no hooks, no compiled, sharded or replaced forward.
    Linear layers may be anything, adapters too.
    """
    if type(model) is not llama.LlamaForCausalLM or model.training:
        return False
    return model.config._attn_implementation in ("eager", "sdpa", "sdpa_by_sample") and whole_layers(model)


def whole_layers(model: Any) -> bool:
    """Whether all layers of a Llama, and what is in them, are transformers' own, and nothing hangs on them."""
    base = model.model
    return _untouched(base, llama.LlamaModel) and all(
        _untouched(layer, llama.LlamaDecoderLayer) and all(map(_untouched, _parts(layer), _KINDS))
        for layer in base.layers
    )


def _parts(layer: Any) -> tuple[nn.Module, ...]:
    return layer.self_attn, layer.mlp, layer.input_layernorm, layer.post_attention_layernorm


def _untouched(module: nn.Module, kind: type[nn.Module]) -> bool:
    own = vars(module)
    hooked = own["_forward_hooks"] or own["_forward_pre_hooks"] or "forward" in own
    return type(module) is kind and not hooked and module._compiled_call_impl is None


def one_position(model: Any, x: Tensor, position_ids: Tensor, real: Tensor, cache: LayerCache) -> Tensor:
    """Hidden states ``(B, 1, H)`` of the next position; the cache is extended.

    Args:
        model: One that :func:`takes_steps`.
        x: Embeddings ``(B, 1, H)``.
        position_ids: ``(B, 1)``.
        real: Which positions are there ``(B, P)``; others are padding.
        cache: Of ``P - 1`` positions.
    """
    base, name = model.model, model.config._attn_implementation
    attend = ALL_ATTENTION_FUNCTIONS.get_interface(name, llama.eager_attention_forward)
    mask = _mask(real, x.dtype, name)
    cos, sin = (table[:, None] for table in base.rotary_emb(x, position_ids=position_ids))
    for layer, kept in zip(base.layers, cache.layers.layers, strict=True):
        attention = layer.self_attn
        read = layer.input_layernorm.forward(x)
        query, key = _turned(attention, read, cos, sin)
        value = _in_heads(attention.v_proj(read), attention.head_dim)
        kept.keys, kept.values = torch.cat([kept.keys, key], -2), torch.cat([kept.values, value], -2)
        found, _ = attend(attention, query, kept.keys, kept.values, mask, dropout=0.0, scaling=attention.scaling)
        x = x + attention.o_proj(found.reshape(*read.shape[:2], -1))
        x = x + layer.mlp.forward(layer.post_attention_layernorm.forward(x))
    hidden: Tensor = base.norm(x)
    return hidden


def _mask(real: Tensor, dtype: torch.dtype, attention: str) -> Tensor | None:
    """What the new positions may read ``(B, 1, 1, P)``; None for everything."""
    if bool(real.all()):
        return None
    seen = real.bool()[:, None, None]
    if attention != "eager":
        return seen
    return torch.where(seen, torch.zeros((), dtype=dtype, device=real.device), torch.finfo(dtype).min)


def _in_heads(x: Tensor, width: int) -> Tensor:
    return x.view(x.shape[0], 1, -1, width).transpose(1, 2)


def _turned(attention: Any, read: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Queries ``(B, N, 1, D)`` and keys ``(B, K, 1, D)``, turned by their place together."""
    query, key = attention.q_proj(read), attention.k_proj(read)
    both = _in_heads(torch.cat([query, key], -1), attention.head_dim)
    first, second = both.chunk(2, -1)
    turned = both * cos + torch.cat([-second, first], -1) * sin
    queries = query.shape[-1] // attention.head_dim
    return turned[:, :queries], turned[:, queries:]
