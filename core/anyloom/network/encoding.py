"""Media -> features or latents, once for each distinct medium: fresh ones are encoded, others come as they are.

Shape legend: U distinct media, N places, L features per medium, D feature dim.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from anyloom.features.cache import FeatureStore
from anyloom.interfaces.decoder import Decoder
from anyloom.interfaces.encoder import Encoder
from anyloom.interfaces.feature_space import FeatureSpace
from anyloom.interfaces.promises import shaped
from anyloom.sequence.batch import DecoderTargets, EncoderInputs

__all__ = ["encode", "with_latents"]


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

    def encoded(media: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not encoder.frozen):
            given = encoder(_in_precision_of(encoder, media), modality)
        return shaped(given, (len(media), space.tokens, space.dim), encoder, "forward")

    return _everywhere(encoded, inputs, cache, table)


def with_latents(
    decoder: Decoder, targets: DecoderTargets | None, cache: FeatureStore | None, table: str
) -> DecoderTargets | None:
    """Decoder targets as latents where they are kept; others as they are.

    Args:
        decoder: Makes those that are new.
        targets: Of one modality.
        cache: Keeps the latents that are fresh.
        table: Name of the latents there.
    """
    if targets is None or targets.media is None:
        return targets
    latents = _everywhere(decoder.latents, targets.media, cache, table)
    count = len(targets.places)
    references = latents[count:] if len(latents) > count else None
    if references is not None and targets.has_reference is not None:
        has = targets.has_reference.view(-1, *[1] * (references.ndim - 1))
        references = torch.where(has, references, torch.zeros_like(references))
    return replace(targets, targets=latents[:count], references=references, media=None, encoded=True)


def _everywhere(
    make: Callable[[Tensor], Tensor], inputs: EncoderInputs, cache: FeatureStore | None, table: str
) -> Tensor:
    """What becomes of the distinct media, at every place that they stand ``(N, ...)``."""
    pieces: list[tuple[Tensor, Tensor]] = []
    if inputs.inputs is not None:
        # in the order in memory in which kept ones come: what is computed from both must be the same to the last bit
        fresh = make(inputs.inputs).contiguous()
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
