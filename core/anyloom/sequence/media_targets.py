"""Batches of single media for stages that train one decoder: conversations are only where the media come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.features.cache import FeatureStore
from anyloom.interfaces.dataset import Sample
from anyloom.sequence.seeds import seed_of

__all__ = ["MediaTargets", "TargetCollator"]


@dataclass
class MediaTargets:
    """Distinct media of one modality, and which of them are targets.

    Args:
        keys: Content keys of the U media, ``""`` where there is none.
        fresh: Indices ``(F,)`` of the media that are prepared here; features and latents of the others are known.
        target: Which of the U media each of the N targets is ``(N,)``.
        source: Which of the U media each target is an edit of ``(N,)``, -1 where it is none.
        targets: Decoder targets ``(F, ...)``; None if F is 0.
        inputs: Encoder inputs ``(F, ...)``; None if F is 0 or no encoder takes part.
        seeds: One for each of the N targets, from this visit of its sample; None where samples have none.
        names: Names of the U media in the feature store.
        known: Indices ``(G,)`` of the media that were there.
        features: Their features ``(G, L, D)``; None if G is 0.
        latents: Their latents ``(G, ...)``; None if G is 0.

    >>> first = torch.tensor([0])
    >>> MediaTargets(["a"], fresh=first, target=first, source=torch.tensor([-1])).keys
    ['a']
    """

    keys: list[str]
    fresh: Tensor
    target: Tensor
    source: Tensor
    targets: Tensor | None = None
    inputs: Tensor | None = None
    seeds: Tensor | None = None
    names: list[str] = field(default_factory=list)
    known: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    features: Tensor | None = None
    latents: Tensor | None = None


class TargetCollator:
    """Takes the media of one modality out of samples. Runs in data workers.

    Args:
        modality: Which media.
        target: Decoder preprocessing.
        encode: Encoder preprocessing, where features are needed.
        roles: Take media of all messages, or of the assistant's only.
        limit: At most so many targets per batch, evenly spread over it; None for all.
        edits: Take what the assistant makes together with its source: the medium before it in the conversation.
            Media of other roles have no source, for nobody asks for them.
        cache: Features and latents (tables ``features`` and ``targets``) of media that need no preprocessing again.

    >>> from anyloom.conversation import Conversation, Message
    >>> made = Media("picture", torch.ones(3), key="a")
    >>> talk = Conversation([Message("user", ["make it red ", made]), Message("assistant", [made])])
    >>> found = TargetCollator("picture", lambda media: media.tensor())([Sample(talk, "edit")])
    >>> found.keys, found.targets.shape
    (['a'], torch.Size([1, 3]))
    """

    def __init__(
        self,
        modality: str,
        target: Callable[[Media], Tensor],
        encode: Callable[[Media], Tensor] | None = None,
        *,
        roles: Literal["all", "assistant"] = "all",
        limit: int | None = None,
        edits: bool = False,
        cache: FeatureStore | None = None,
    ) -> None:
        self.modality, self.target, self.encode = modality, target, encode
        self.roles, self.limit, self.edits, self.cache = roles, limit, edits, cache

    def __call__(self, samples: Sequence[Sample]) -> MediaTargets:
        """Gather and preprocess; media of equal key are taken once."""
        pairs, seeds = self._pairs(samples)
        place: dict[str | int, int] = {}
        media: list[Media] = []
        for medium in (m for pair in pairs for m in reversed(pair) if m is not None):
            if place.setdefault(_identity(medium), len(media)) == len(media):
                media.append(medium)
        keys = [m.key for m in media]
        names, known = self._known(media)
        fresh = [n for n in range(len(media)) if n not in known]
        batch = MediaTargets(
            keys,
            torch.tensor(fresh, dtype=torch.long),
            target=torch.tensor([place[_identity(m)] for m, _ in pairs], dtype=torch.long),
            source=torch.tensor([-1 if s is None else place[_identity(s)] for _, s in pairs], dtype=torch.long),
            seeds=None if seeds is None else torch.tensor(seeds, dtype=torch.long),
            names=names,
            known=torch.tensor(list(known), dtype=torch.long),
        )
        if known:
            batch.features = torch.stack([features for features, _ in known.values()])
            batch.latents = torch.stack([latents for _, latents in known.values()])
        if fresh:
            batch.targets = torch.stack([self.target(media[n]) for n in fresh])
            if self.encode is not None:
                batch.inputs = torch.stack([self.encode(media[n]) for n in fresh])
        return batch

    def _known(self, media: Sequence[Media]) -> tuple[list[str], dict[int, tuple[Tensor, Tensor]]]:
        """Names in the store, and features and latents of the media that have both there."""
        if self.cache is None:
            return [""] * len(media), {}
        names = [self.cache.name(medium) for medium in media]
        known: dict[int, tuple[Tensor, Tensor]] = {}
        for n, name in enumerate(names):
            features, latents = self.cache.read("features", name), self.cache.read("targets", name)
            if features is not None and latents is not None:
                known[n] = features, latents
        return names, known

    def _pairs(self, samples: Sequence[Sample]) -> tuple[list[tuple[Media, Media | None]], list[int] | None]:
        """Distinct targets with their sources, and their seeds."""
        distinct: dict[tuple[str | int, str | int], tuple[tuple[Media, Media | None], int]] = {}
        for sample in samples:
            for number, (target, source) in enumerate(self._in_order(sample)):
                key = _identity(target), "" if source is None else _identity(source)
                distinct.setdefault(key, ((target, source), seed_of(sample.seed or 0, "visit", number)))
        found = list(distinct.values())
        if self.limit is not None and len(found) > self.limit:
            found = [found[n * len(found) // self.limit] for n in range(self.limit)]
        seeded = all(sample.seed is not None for sample in samples)
        return [pair for pair, _ in found], [seed for _, seed in found] if seeded else None

    def _in_order(self, sample: Sample) -> Iterator[tuple[Media, Media | None]]:
        before: Media | None = None
        for message in sample.conversation.messages:
            for medium in (m for m in message.media if m.modality == self.modality):
                if self.roles == "all" or message.role == "assistant":
                    yield medium, before if self.edits and message.role == "assistant" else None
                before = medium


def _identity(media: Media) -> str | int:
    return media.key or id(media)
