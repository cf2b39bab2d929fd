"""Predicted features -> media: each modality's decoder, with the medium before as the source where it uses one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.interfaces.decoder import Decoder

if TYPE_CHECKING:
    from anyloom.model.model import AnyToAnyModel

__all__ = ["Predicted", "decode_answers"]

Place = tuple[int, int]
"""Row and segment of a medium in a batch of answers."""


@dataclass(frozen=True)
class Predicted:
    """A medium of an answer before it is decoded.

    Args:
        modality: Its modality.
        features: ``(L, D)``.
        seed: Of the decoder's noise.
    """

    modality: str
    features: Tensor
    seed: int


def decode_answers(
    model: AnyToAnyModel,
    predicted: Mapping[Place, Predicted],
    before: Sequence[Mapping[str, Media]],
    options: Mapping[str, Any] | None,
) -> dict[Place, Media]:
    """Make the media of a batch of answers.

    Args:
        model: Has the decoders.
        predicted: What to make, in the order of each answer.
        before: For each row the last medium of each modality before the answer.
        options: Sampling options, None meaning each decoder's own; None in all leaves media undecoded.

    Returns:
        Media by place; those without a decoder carry their features only.
    """
    made: dict[Place, Media] = {}
    for name in dict.fromkeys(p.modality for p in predicted.values()):
        places = {at: p for at, p in predicted.items() if p.modality == name}
        decoder = None if options is None else model.decoder(name)
        if decoder is None or options is None:
            made |= {at: Media(name, features=p.features) for at, p in places.items()}
        elif decoder.uses_source:
            made |= _decode_edits(decoder, places, [row.get(name) for row in before], options)
        else:
            plain = {k: v for k, v in options.items() if k != "source_guidance"}
            made |= _decode(decoder, places, **plain)
    return made


def _decode_edits(
    decoder: Decoder, places: Mapping[Place, Predicted], before: list[Media | None], options: Mapping[str, Any]
) -> dict[Place, Media]:
    """Decode in turns: what a row has just got is the source of its next medium."""
    made: dict[Place, Media] = {}
    for turn in _turns(places):
        sources = [before[row] for row, _ in turn]
        source = [None if medium is None else decoder.preprocess(medium) for medium in sources]
        made |= _decode(decoder, {at: places[at] for at in turn}, source=source, **options)
        for row, segment in turn:
            before[row] = made[row, segment]
    return made


def _turns(places: Mapping[Place, Predicted]) -> list[list[Place]]:
    """The first medium of each row, then the second of each row that has one, and so on."""
    turns: dict[int, list[Place]] = {}
    seen = Counter[int]()
    for row, segment in places:
        turns.setdefault(seen[row], []).append((row, segment))
        seen[row] += 1
    return list(turns.values())


def _decode(decoder: Decoder, places: Mapping[Place, Predicted], **options: Any) -> dict[Place, Media]:
    features = torch.stack([p.features for p in places.values()])
    items = decoder.generate(features, seeds=[p.seed for p in places.values()], **options)
    return {
        at: Media(p.modality, item.data, key=item.key, meta=item.meta, features=p.features)
        for (at, p), item in zip(places.items(), items)
    }
