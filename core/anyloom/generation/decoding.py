"""Predicted features -> media: each modality's decoder, with the medium before as the source where it uses one.

Coupled decoders (``model.couple``) make the media of one answer together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.diffusion.joint import Side, joint_generate
from anyloom.interfaces.decoder import Decoder
from anyloom.network.joint_output import coupled_decoder, numbered

if TYPE_CHECKING:
    from anyloom.network.network import Network

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
    model: Network,
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
    latest = [dict(row) for row in before]
    made = {} if options is None else _decode_couples(model, predicted, latest, options)
    alone = {at: p for at, p in predicted.items() if at not in made}
    for name in dict.fromkeys(p.modality for p in alone.values()):
        places = {at: p for at, p in alone.items() if p.modality == name}
        decoder = None if options is None else model.decoder(name)
        if decoder is None or options is None:
            made |= {at: Media(name, features=p.features) for at, p in places.items()}
        elif decoder.uses_source:
            made |= _decode_edits(decoder, places, [row.get(name) for row in latest], options)
        else:
            plain = {k: v for k, v in options.items() if k != "source_guidance"}
            made |= _decode(decoder, places, **plain)
    return made


def _decode_couples(
    model: Network,
    predicted: Mapping[Place, Predicted],
    latest: list[dict[str, Media]],
    options: Mapping[str, Any],
) -> dict[Place, Media]:
    """Decode what couples make together; ``latest`` is brought up to date."""
    made: dict[Place, Media] = {}
    for key, couple in model.config.couple.items():
        own = [{at: p for at, p in predicted.items() if p.modality == n and at not in made} for n in couple.pair]
        first, second = (dict(zip(numbered(row for row, _ in places), places)) for places in own)
        turns: dict[int, list[tuple[Place, Place]]] = {}
        for row, number in first:
            if (row, number) in second:
                turns.setdefault(number, []).append((first[row, number], second[row, number]))
        for pairs in turns.values():
            made |= _decode_together(model, key, pairs, predicted, latest, options)
    return made


def _decode_together(
    model: Network,
    key: str,
    pairs: Sequence[tuple[Place, Place]],
    predicted: Mapping[Place, Predicted],
    latest: list[dict[str, Media]],
    options: Mapping[str, Any],
) -> dict[Place, Media]:
    """Decode pairs of places, one per row, with the coupler of a key."""
    by_side = list(zip(*pairs))
    sides = []
    for name, places in zip(model.config.couple[key].pair, by_side):
        decoder = coupled_decoder(model, name)
        source = [_prepared(decoder, latest[row].get(name)) for row, _ in places] if decoder.uses_source else None
        sides.append(Side(decoder, torch.stack([predicted[at].features for at in places]), source))
    seeds = [[predicted[at].seed for at in places] for places in by_side]
    made: dict[Place, Media] = {}
    for places, items in zip(by_side, joint_generate(model.parts.coupler(key), sides, seeds=seeds, **options)):
        made |= {at: _finished(predicted[at], item) for at, item in zip(places, items)}
    for (row, segment), medium in made.items():
        latest[row][predicted[row, segment].modality] = medium
    return made


def _decode_edits(
    decoder: Decoder, places: Mapping[Place, Predicted], before: list[Media | None], options: Mapping[str, Any]
) -> dict[Place, Media]:
    """Decode in turns: what a row has just got is the source of its next medium."""
    made: dict[Place, Media] = {}
    for turn in _turns(places):
        source = [_prepared(decoder, before[row]) for row, _ in turn]
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
    return {at: _finished(p, item) for (at, p), item in zip(places.items(), items)}


def _prepared(decoder: Decoder, medium: Media | None) -> Tensor | None:
    return None if medium is None else decoder.preprocess(medium)


def _finished(predicted: Predicted, item: Media) -> Media:
    """A decoded medium with the features it was predicted as."""
    return Media(predicted.modality, item.data, key=item.key, meta=item.meta, features=predicted.features)
