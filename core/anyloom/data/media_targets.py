"""Batches of single media for stages that train one decoder: conversations are only where the media come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.data.feature_cache import FeatureCache
from anyloom.interfaces.dataset import Sample

__all__ = ["MediaTargets", "TargetCollator"]


@dataclass
class MediaTargets:
    """Distinct media of one modality.

    Args:
        keys: Content keys of the N media, ``""`` where there is none.
        fresh: Indices ``(F,)`` of the media that the tensors below hold; the others are in the cache.
        targets: Decoder targets ``(F, ...)``; None if F is 0.
        inputs: Encoder inputs ``(F, ...)``; None if F is 0 or no encoder takes part.
    """

    keys: list[str]
    fresh: Tensor
    targets: Tensor | None = None
    inputs: Tensor | None = None


class TargetCollator:
    """Takes the media of one modality out of samples. Runs in data workers.

    Args:
        modality: Which media.
        target: Decoder preprocessing.
        encode: Encoder preprocessing, where features are needed.
        roles: Take media of all messages, or of the assistant's only.
        limit: At most so many media per batch, evenly spread over it; None for all.
        cache: Media that need no preprocessing again. Only a loader in the stage's own process sees it fill.
    """

    def __init__(
        self,
        modality: str,
        target: Callable[[Media], Tensor],
        encode: Callable[[Media], Tensor] | None = None,
        *,
        roles: Literal["all", "assistant"] = "all",
        limit: int | None = None,
        cache: FeatureCache | None = None,
    ) -> None:
        self.modality, self.target, self.encode = modality, target, encode
        self.roles, self.limit, self.cache = roles, limit, cache

    def __call__(self, samples: Sequence[Sample]) -> MediaTargets:
        """Gather and preprocess; media of equal key are taken once."""
        media = self._media(samples)
        keys = [m.key for m in media]
        fresh = [n for n, key in enumerate(keys) if self.cache is None or not self.cache.has("targets", key)]
        batch = MediaTargets(keys, torch.tensor(fresh, dtype=torch.long))
        if fresh:
            batch.targets = torch.stack([self.target(media[n]) for n in fresh])
            if self.encode is not None:
                batch.inputs = torch.stack([self.encode(media[n]) for n in fresh])
        return batch

    def _media(self, samples: Sequence[Sample]) -> list[Media]:
        distinct: dict[str | int, Media] = {}
        for sample in samples:
            for message in sample.conversation.messages:
                if self.roles == "all" or message.role == "assistant":
                    distinct |= {m.key or id(m): m for m in message.media if m.modality == self.modality}
        media = list(distinct.values())
        if self.limit is None or len(media) <= self.limit:
            return media
        return [media[n * len(media) // self.limit] for n in range(self.limit)]
