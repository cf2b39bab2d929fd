"""The next token of many answers at once.

Shape legend: R answers, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["next_tokens"]

_SHORTLIST = 2048
_COLDEST = 1e-30
"""Divided by less than this, scores are infinite."""


def next_tokens(
    scores: Tensor, *, temperature: Sequence[float], top_p: Sequence[float], generators: Sequence[torch.Generator]
) -> list[int]:
    """Sample one token per answer; an answer's token depends on its own scores, options and generator alone.

    Args:
        scores: ``(R, V)``; tokens that may not come are at minus infinity.
        temperature: Of each answer; 0 takes the likeliest token.
        top_p: Of each answer: tokens are drawn among the likeliest that together have this probability.
        generators: CPU generator of each answer.

    >>> next_tokens(torch.tensor([[0.0, 1.0]]), temperature=[0], top_p=[1], generators=[torch.Generator()])
    [1]
    """
    drawn = [r for r, t in enumerate(temperature) if t > 0]
    tokens: list[int] = scores.argmax(-1).tolist()
    if not drawn:
        return tokens
    device = scores.device
    heat = torch.tensor([max(temperature[r], _COLDEST) for r in drawn], device=device, dtype=torch.float32)
    nucleus = torch.tensor([top_p[r] for r in drawn], device=device, dtype=torch.float32)
    # One uniform number per answer, from its own generator: batch-mates cannot change it.
    uniform = torch.cat([torch.rand(1, generator=generators[r]) for r in drawn]).to(device)
    scaled = scores[drawn].float() / heat[:, None]
    probabilities = (scaled - scaled.amax(-1, keepdim=True)).softmax(-1)
    chosen = _draw(probabilities, nucleus, uniform)
    for r, token in zip(drawn, chosen.tolist()):
        tokens[r] = token
    return tokens


def _draw(probabilities: Tensor, top_p: Tensor, uniform: Tensor) -> Tensor:
    """Inverse of the cumulative distribution over the nucleus, ``(R,)``."""
    size = probabilities.shape[-1]
    count = min(_SHORTLIST, size)
    ordered, order = probabilities.topk(count)
    # A shortlist that holds the whole nucleus gives what sorting everything would; else everything is sorted.
    if count < size and bool((ordered.sum(-1) < top_p.clamp(max=1.0)).any()):
        ordered, order = probabilities.sort(descending=True)
    outside = ordered.cumsum(-1) - ordered >= top_p[:, None]
    outside[:, 0] = False  # however small top_p is, the likeliest token stays
    ordered = ordered.masked_fill(outside, 0.0)
    reached = ordered.cumsum(-1)
    place = (reached < uniform[:, None] * reached[:, -1:]).sum(-1, keepdim=True)
    return order.gather(-1, place.clamp_max(order.shape[-1] - 1))[:, 0]
