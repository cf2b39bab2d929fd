"""Media -> features, once for each distinct medium: fresh ones by the encoder, others from the cache or as they come.

Shape legend: U distinct media, N places, L features per medium, D feature dim.
"""

from __future__ import annotations

import torch
from torch import Tensor

from anyloom.features.cache import FeatureCache
from anyloom.interfaces.encoder import Encoder
from anyloom.sequence.batch import EncoderInputs

__all__ = ["encode"]


def encode(encoder: Encoder, modality: str, inputs: EncoderInputs, cache: FeatureCache | None, table: str) -> Tensor:
    """Features ``(N, L, D)`` of every place.

    Args:
        encoder: Runs without gradient if it is frozen.
        modality: Of the media.
        inputs: The distinct media and which of them stands where.
        cache: Gives features that are not fresh, and keeps those that are; None for none.
        table: Name of the features in the cache.
    """
    pieces: list[tuple[Tensor, Tensor]] = []
    if inputs.inputs is not None:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not encoder.frozen):
            fresh = encoder(_in_precision_of(encoder, inputs.inputs), modality)
        if cache is not None:
            cache.put(table, [inputs.keys[u] for u in inputs.fresh.tolist()], fresh)
        if len(inputs.fresh) == len(inputs.keys):
            everywhere: Tensor = fresh[inputs.slot]
            return everywhere
        pieces.append((inputs.fresh, fresh))
    if inputs.features is not None:
        pieces.append((inputs.known, inputs.features))
    there = {u for at, _ in pieces for u in at.tolist()}
    cached = [u for u in range(len(inputs.keys)) if u not in there]
    if cached:
        assert cache is not None  # the collator leaves out only what the cache holds
        device = inputs.slot.device
        at = torch.tensor(cached, device=device)
        pieces.append((at, cache.get(table, [inputs.keys[u] for u in cached]).to(device)))
    # Every distinct medium is in exactly one piece, so sorting by its number puts them in order.
    order = torch.cat([at for at, _ in pieces]).argsort()
    dtype = pieces[0][1].dtype
    return torch.cat([features.to(order.device, dtype) for _, features in pieces])[order][inputs.slot]


def _in_precision_of(encoder: Encoder, inputs: Tensor) -> Tensor:
    """Preprocessed media in the precision of the encoder's parameters, which may have been moved to half."""
    dtype = next((p.dtype for p in encoder.parameters() if p.is_floating_point()), None)
    return inputs.to(dtype) if dtype is not None and inputs.is_floating_point() else inputs
