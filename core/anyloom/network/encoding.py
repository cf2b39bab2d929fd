"""Media -> features, once for each distinct medium: fresh ones by the encoder, others as they come.

Shape legend: U distinct media, N places, L features per medium, D feature dim.
"""

from __future__ import annotations

import torch
from torch import Tensor

from anyloom.features.cache import FeatureStore
from anyloom.interfaces.encoder import Encoder
from anyloom.interfaces.feature_space import FeatureSpace
from anyloom.interfaces.promises import shaped
from anyloom.sequence.batch import EncoderInputs

__all__ = ["encode"]


def encode(
    encoder: Encoder, modality: str, inputs: EncoderInputs, space: FeatureSpace, cache: FeatureStore | None, table: str
) -> Tensor:
    """Features ``(N, L, D)`` of every place.

    Args:
        encoder: Runs without gradient if it is frozen.
        modality: Of the media.
        inputs: The distinct media and which of them stands where.
        space: The encoder's, of this modality.
        cache: Keeps the features that are fresh; None for none.
        table: Name of the features there.
    """
    pieces: list[tuple[Tensor, Tensor]] = []
    if inputs.inputs is not None:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not encoder.frozen):
            given = encoder(_in_precision_of(encoder, inputs.inputs), modality)
        # in the order in memory in which kept ones come: what is computed from both must be the same to the last bit
        fresh = shaped(given, (len(inputs.fresh), space.tokens, space.dim), encoder, "forward").contiguous()
        if cache is not None:
            cache.put(table, [inputs.names[u] for u in inputs.fresh.tolist()], fresh)
            cache.counts["encoded"] += len(inputs.fresh)
        if len(inputs.fresh) == len(inputs.names):
            everywhere: Tensor = fresh[inputs.slot]
            return everywhere
        pieces.append((inputs.fresh, fresh))
    if inputs.features is not None:
        pieces.append((inputs.known, inputs.features))
    if cache is not None:
        cache.counts["read"] += inputs.stored
    # Every distinct medium is in exactly one piece, so sorting by its number puts them in order.
    order = torch.cat([at for at, _ in pieces]).argsort()
    dtype = pieces[0][1].dtype
    return torch.cat([features.to(order.device, dtype) for _, features in pieces])[order][inputs.slot]


def _in_precision_of(encoder: Encoder, inputs: Tensor) -> Tensor:
    """Preprocessed media in the precision of the encoder's parameters, which may have been moved to half."""
    dtype = next((p.dtype for p in encoder.parameters() if p.is_floating_point()), None)
    return inputs.to(dtype) if dtype is not None and inputs.is_floating_point() else inputs
