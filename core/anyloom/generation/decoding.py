"""Predicted features -> media: each modality's decoder, with the medium that is edited where it uses one.

Coupled decoders (``model.couple``) make the media of one answer together. What several answers ask of one decoder with
equal options is made in one call; a medium that edits another of the same answer waits for it.

Shape legend: R rows of one call, L features per medium, D feature dim.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.generation.answer import Answer, MadeMedium
from anyloom.generation.offloading import beside
from anyloom.generation.options import sampling_of
from anyloom.generation.previews import previewed_as
from anyloom.interfaces.decoder import Condition, Decoder
from anyloom.interfaces.promises import made_media
from anyloom.network.network import Network
from anyloom.options import validate

__all__ = ["decode"]

_SEED_STEP = 7919
"""How far the seeds of the media of one answer lie apart."""

Made = list[dict[int, Media]]
"""For each answer its media by segment."""


@dataclass(frozen=True)
class _Item:
    """One medium to be made: where it stands, and what it is."""

    answer: int
    segment: int
    medium: MadeMedium
    seed: int


def decode(network: Network, answers: Sequence[Answer], earlier: Sequence[Mapping[int, Media]] = ()) -> Made:
    """Make the media of answers; those that are not to be decoded, or cannot be, carry their features only.

    Args:
        network: Has the decoders.
        answers: Answers; media whose run is not over are passed over.
        earlier: For each answer what has been made of it before.

    Returns:
        Media by answer and segment.
    """
    made: Made = [dict(own) for own in earlier] or [{} for _ in answers]
    waiting: list[_Item] = []
    for item in _items(answers):
        name = item.medium.modality
        if item.segment in made[item.answer] or item.medium.features is None:
            continue
        if network.decoder(name) is None or not answers[item.answer].options.decode:
            made[item.answer][item.segment] = _finished(network, item, None)
        else:
            waiting.append(item)
    for pair in _couples(network, answers, waiting):
        _make_together(network, answers, *pair, made)
    waiting = [item for item in waiting if item.segment not in made[item.answer]]
    while waiting:
        # Segments are numbered in order and refer to earlier ones only, so every round makes at least one medium.
        ready = [
            i for i in waiting if i.medium.reference_segment is None or i.medium.reference_segment in made[i.answer]
        ]
        for name, sampling, group in _groups(answers, ready):
            _make(network, name, sampling, group, made)
        waiting = [item for item in waiting if item.segment not in made[item.answer]]
    return made


def _items(answers: Sequence[Answer]) -> Iterator[_Item]:
    for a, answer in enumerate(answers):
        for s, segment in enumerate(answer.segments):
            if isinstance(segment, MadeMedium):
                yield _Item(a, s, segment, answer.seed + _SEED_STEP * s)


def _groups(answers: Sequence[Answer], items: Sequence[_Item]) -> Iterator[tuple[str, dict[str, Any], list[_Item]]]:
    """Items that one call can make: of one modality and with equal options."""
    groups: dict[tuple[str, str], list[_Item]] = {}
    for item in items:
        sampling = sampling_of(answers[item.answer].options.sampling, item.medium.modality)
        groups.setdefault((item.medium.modality, json.dumps(sampling, sort_keys=True, default=str)), []).append(item)
    for (name, _), group in groups.items():
        yield name, sampling_of(answers[group[0].answer].options.sampling, name), group


def _make(network: Network, name: str, sampling: Mapping[str, Any], items: Sequence[_Item], made: Made) -> None:
    decoder = network.decoder(name)
    assert decoder is not None
    options = validate(decoder.Sampling, sampling, where=f"generate.sampling.{name}")
    condition = _condition(decoder, items, made)
    with beside(condition.features, decoder), previewed_as([i.segment for i in items]):
        answered = decoder.generate(condition, seeds=[i.seed for i in items], sampling=options)
    media = made_media(answered, len(items), decoder)
    for item, medium in zip(items, media, strict=True):
        made[item.answer][item.segment] = _finished(network, item, medium)


def _condition(decoder: Decoder, items: Sequence[_Item], made: Made) -> Condition:
    features = torch.stack([_features(item) for item in items])
    if not decoder.uses_reference:
        return Condition(features)
    references = [_reference(item, made) for item in items]
    prepared = [None if r is None else decoder.preprocess(r).to(features.device) for r in references]
    some = next((p for p in prepared if p is not None), None)
    if some is None:
        return Condition(features)
    stack = torch.stack([torch.zeros_like(some) if p is None else p for p in prepared])
    return Condition(features, stack, torch.tensor([p is not None for p in prepared], device=features.device))


def _reference(item: _Item, made: Made) -> Media | None:
    if item.medium.reference_segment is not None:
        return made[item.answer].get(item.medium.reference_segment)
    found = item.medium.reference
    return found if found is not None and found.modality == item.medium.modality and found.has_data else None


def _features(item: _Item) -> Tensor:
    assert item.medium.features is not None
    return item.medium.features


def _couples(
    network: Network, answers: Sequence[Answer], waiting: Sequence[_Item]
) -> Iterator[tuple[str, list[tuple[_Item, _Item]]]]:
    """For every couple the media that its decoders make together: the n-th of one with the n-th of the other."""
    taken: set[tuple[int, int]] = set()
    for key, couple in network.config.couple.items():
        turns: dict[int, list[tuple[_Item, _Item]]] = {}
        for a in range(len(answers)):
            own = [i for i in waiting if i.answer == a and (a, i.segment) not in taken]
            sides = [[i for i in own if i.medium.modality == name] for name in couple.pair]
            for turn, pair in enumerate(zip(*sides)):
                turns.setdefault(turn, []).append((pair[0], pair[1]))
                taken |= {(a, i.segment) for i in pair}
        for pairs in turns.values():
            yield key, pairs


def _make_together(
    network: Network, answers: Sequence[Answer], key: str, pairs: Sequence[tuple[_Item, _Item]], made: Made
) -> None:
    """Make pairs of media with one coupler, those of equal options in one call."""
    names = network.config.couple[key].pair
    decoders = [d for name in names if (d := network.decoder(name)) is not None]
    groups: dict[str, list[tuple[_Item, _Item]]] = {}
    for pair in pairs:
        options = [sampling_of(answers[pair[0].answer].options.sampling, name) for name in names]
        groups.setdefault(json.dumps(options, sort_keys=True, default=str), []).append(pair)
    for group in groups.values():
        sides = [[pair[side] for pair in group] for side in (0, 1)]
        conditions = [_condition(decoder, side, made) for decoder, side in zip(decoders, sides)]
        coupler = network.parts.coupler(key)
        with beside(conditions[0].features, *decoders):
            media = coupler.generate(
                decoders,
                conditions,
                seeds=[[i.seed for i in side] for side in sides],
                sampling=[
                    validate(
                        decoder.Sampling,
                        sampling_of(answers[group[0][0].answer].options.sampling, name),
                        where=f"generate.sampling.{name}",
                    )
                    for name, decoder in zip(names, decoders)
                ],
            )
        for side, own in zip(sides, media):
            for item, medium in zip(side, made_media(own, len(side), coupler)):
                made[item.answer][item.segment] = _finished(network, item, medium)


def _finished(network: Network, item: _Item, medium: Media | None) -> Media:
    """A medium with the features it was predicted as."""
    name, features = item.medium.modality, _features(item)
    space = network.space(name).name
    if medium is None:
        return Media(name, features=features, space=space, reference=item.medium.named)
    return Media(
        name,
        medium.data,
        loader=medium.loader,
        key=medium.key,
        path=medium.path,
        meta=medium.meta,
        features=features,
        space=space,
        reference=item.medium.named,
    )
