"""What an answer is to be told apart from: the candidates of one sample, and everything else there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from anyloom.conversation import Media
from anyloom_incontext.features import FeatureTable, identity
from anyloom_incontext.provenance import Edit, number_of
from anyloom_incontext.ranking import squared_distances, standing

__all__ = ["Gallery", "closer_in_pool", "gallery_of", "media_of", "pool_of"]


@dataclass(frozen=True)
class Gallery:
    """The candidates of one sample, without its target: features ``(C, D)``, numbers, and which one is the input."""

    features: Tensor
    numbers: Tensor
    is_input: Tensor


def media_of(edit: Edit) -> list[Media]:
    """Target, input, candidates and example pairs of an edit."""
    pairs = [media for pair in edit.examples for media in pair]
    return [*_choices(edit), *pairs]


def _choices(edit: Edit) -> list[Media]:
    return [edit.target, *([] if edit.source is None else [edit.source]), *edit.candidates]


def gallery_of(table: FeatureTable, edit: Edit) -> Gallery:
    """The candidates of an edit whose media are in the table."""
    source = None if edit.source is None else identity(edit.source)
    media = {identity(m): m for m in _choices(edit)}
    media.pop(identity(edit.target))
    features = table.get(list(media.values())) if media else table.get([edit.target])[:0]
    return Gallery(
        features,
        torch.tensor([number_of(n) for n in media], dtype=torch.long),
        torch.tensor([n == source for n in media], dtype=torch.bool),
    )


def pool_of(targets: Tensor, numbers: Tensor, listed: Sequence[Media], features: Tensor) -> tuple[Tensor, Tensor]:
    """Features and numbers of everything in the full gallery, each content key once.

    Args:
        targets: Features ``(N, D)`` of the targets of all samples.
        numbers: Their numbers ``(N,)``.
        listed: What the data set lists beside them.
        features: Of these ``(M, D)``.
    """
    names = [number_of(identity(m)) for m in listed]
    numbers, targets = torch.cat([numbers, numbers.new_tensor(names)]), torch.cat([targets, features])
    first = {n: i for i, n in reversed(list(enumerate(numbers.tolist())))}
    return targets[list(first.values())], torch.tensor(list(first))


def closer_in_pool(
    queries: Tensor, targets: Tensor, numbers: Tensor, own: Sequence[Tensor], pool: tuple[Tensor, Tensor]
) -> Tensor:
    """Counts ``(N, Q, 2)`` of what lies in the pool closer than, or as close as, the own target.

    Args:
        queries: ``(N, Q, D)``.
        targets: ``(N, D)``.
        numbers: Of the targets ``(N,)``.
        own: Per sample the numbers of its own candidates, which are counted elsewhere.
        pool: Features and numbers of the pool.
    """
    counts = []
    for mine, asked, aim, number in zip(own, queries, targets, numbers):
        others = ~torch.isin(pool[1], torch.cat([mine, number[None]]))
        distances = squared_distances(asked, pool[0])
        counts.append(torch.stack(standing(distances, squared_distances(asked, aim[None])[:, 0], others), -1))
    return torch.stack(counts)
