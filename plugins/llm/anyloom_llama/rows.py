"""A Llama over one row of samples, in fewer passes over memory than transformers' layers take on a CPU.

Norms and the turning of queries and keys have gradients of their own here; attention and linear layers are
transformers' own. A test holds both together. Shape legend: T positions, N heads, D width of a head, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.models.llama import modeling_llama as llama

from anyloom_llama.apart import attend
from anyloom_llama.stepping import whole_layers

__all__ = ["one_row", "takes_rows"]


def takes_rows(model: Any) -> bool:
    """Whether :func:`one_row` does what the model itself would do: a Llama in float32 that nothing hangs on.

    It does not if the model recomputes activations.
    """
    return (
        type(model) is llama.LlamaForCausalLM
        and model.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and whole_layers(model)
    )


def one_row(model: Any, x: Tensor, position_ids: Tensor, lengths: Sequence[int]) -> Tensor:
    """Hidden states ``(1, T, H)`` of samples one behind another.

    Args:
        model: One that :func:`takes_rows`.
        x: Embeddings ``(1, T, H)``.
        position_ids: ``(1, T)``, from 0 on in every sample.
        lengths: Positions of each sample.
    """
    base = model.model
    cos, sin = base.rotary_emb(x, position_ids=position_ids)
    for layer in base.layers:
        attention = layer.self_attn
        read = _normed(layer.input_layernorm, x)
        query, key, value = (
            project(read).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
            for project in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        query, key = _turn(query, cos, sin), _turn(key, cos, sin)
        dropout = attention.attention_dropout if attention.training else 0.0
        found, _ = attend(
            attention, query, key, value, None, sample_lengths=lengths, dropout=dropout, scaling=attention.scaling
        )
        x = x + attention.o_proj(found.flatten(2))
        x = x + layer.mlp.forward(_normed(layer.post_attention_layernorm, x))
    return _normed(base.norm, x)


def _normed(norm: Any, x: Tensor) -> Tensor:
    result: Tensor = _Norm.apply(x, norm.weight, norm.variance_epsilon)  # type: ignore[no-untyped-call]
    return result


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    result: Tensor = _Turn.apply(x, cos, sin)  # type: ignore[no-untyped-call]
    return result


class _Norm(torch.autograd.Function):
    """Root mean square norm, y = w x r with r = (mean(x^2) + eps)^(-1/2) (arXiv 1910.07467)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        width = x.shape[-1]
        scale = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(width).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        normed: Tensor = (x * scale).mul_(weight)
        return normed

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weight, scale = ctx.saved_tensors
        (grad,) = grads
        both = (grad * x).flatten(0, -2)
        by_weight = scale.reshape(1, -1).mm(both)[0] if ctx.needs_input_grad[1] else None
        # dx = r w g - x r^3 mean(w g x)
        along = (both @ weight).view_as(scale) * scale.pow(3).div_(-x.shape[-1])
        return (grad * weight).mul_(scale).addcmul_(x, along), by_weight, None


class _Turn(torch.autograd.Function):
    """Rotary positions of heads ``(1, N, T, D)`` by angles ``(1, T, D)`` (arXiv 2104.09864)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turned(x, cos[:, None], sin[:, None])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = (table[:, None] for table in ctx.saved_tensors)
        # both halves of a Llama's tables are the same, so the way back is the turn by the angle's negative
        return _turned(grads[0], cos, -sin), None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    turned: Tensor = x * cos
    turned[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-1)
    turned[..., half:].addcmul_(x[..., :half], sin[..., half:])
    return turned
