"""Numbers about the data of a run: tasks, media, lengths, what cannot be used, what is there twice, what leaks."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from anyloom.conversation.segments import Conversation, Media, Text
from anyloom.data.ledger import Bad, reason_of
from anyloom.survey.looking import Looked

__all__ = ["Counted", "count", "hash_of", "leaks", "quantiles"]

_QUANTILES: Final = (0.0, 0.5, 0.9, 0.99, 1.0)
_EXAMPLES: Final = 5


@dataclass
class Counted:
    """What some samples are.

    Args:
        tasks: Samples by set and task.
        lengths: Positions of each sample, by set and task.
        media: Media by modality and role (``read``, ``made``).
        bad: Records that cannot be used, by reason.
        examples: Some of them, by reason.
        samples: Keys of samples by the hash of their content.
        contents: Keys of samples by the hash of each medium in them.

    >>> Counted().as_json()["samples"]
    0
    """

    tasks: Counter[tuple[str, str]] = field(default_factory=Counter)
    lengths: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    media: Counter[tuple[str, str]] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    samples: dict[str, list[str]] = field(default_factory=dict)
    contents: dict[str, list[str]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values; keys stay, new ones may join them."""
        return {
            "samples": sum(self.tasks.values()),
            "tasks": [
                {"set": part, "task": task, "samples": n, "lengths": quantiles(self.lengths.get((part, task), ()))}
                for (part, task), n in sorted(self.tasks.items())
            ],
            "media": [{"modality": m, "role": r, "count": n} for (m, r), n in sorted(self.media.items())],
            "bad": [{"reason": r, "records": n, "examples": self.examples[r]} for r, n in self.bad.most_common()],
            "duplicates": [keys[:_EXAMPLES] for keys in self.samples.values() if len(keys) > 1][:100],
            "duplicate samples": sum(len(keys) - 1 for keys in self.samples.values()),
        }


def count(samples: Iterable[Looked | Bad]) -> Counted:
    """Count samples. A sample that was drawn twice is no duplicate of itself.

    >>> from anyloom.interfaces import Sample
    >>> samples = [Looked(n, "mine", Sample(Conversation([]), "chat", key=str(n)), None) for n in range(3)]
    >>> dict(count(samples).tasks)
    {('mine', 'chat'): 3}
    """
    found = Counted()
    for one in samples:
        if isinstance(one, Bad):
            reason = reason_of(one.error) or "bad row"
            found.bad[reason] += 1
            examples = found.examples.setdefault(reason, [])
            if len(examples) < _EXAMPLES:
                examples.append(f"{one.key}: {one.error.what}")
            continue
        group = one.part.partition("/")[0], one.sample.task
        found.tasks[group] += 1
        if one.sequence is not None:
            found.lengths.setdefault(group, []).append(one.length)
        _media(one, found)
    return found


def _media(one: Looked, found: Counted) -> None:
    conversation = one.sample.conversation
    key = one.sample.key or str(one.sample.provenance.get("source", one.position))
    for message in conversation.messages:
        for media in message.media:
            found.media[media.modality, "made" if message.role == "assistant" else "read"] += 1
            _add(found.contents, hash_of(media), key)
    _add(found.samples, _content(conversation), key)


def _add(table: dict[str, list[str]], digest: str, key: str) -> None:
    keys = table.setdefault(digest, [])
    if key not in keys:
        keys.append(key)


def hash_of(media: Media) -> str:
    """A hash of what a medium shows, whatever its file is called and however that is compressed without loss.

    >>> import torch
    >>> hash_of(Media("picture", torch.ones(3), key="a")) == hash_of(Media("picture", torch.ones(3), key="b"))
    True
    """
    if media.data is None and media.loader is None:
        return f"{media.modality}:{media.key}"
    data = media.tensor().contiguous()
    digest = hashlib.blake2b(f"{media.modality} {tuple(data.shape)} {data.dtype}".encode(), digest_size=16)
    digest.update(data.cpu().numpy().tobytes())
    return digest.hexdigest()


def _content(conversation: Conversation) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for message in conversation.messages:
        digest.update(f"\0{message.role}\0".encode())
        for segment in message.segments:
            digest.update((segment.text if isinstance(segment, Text) else hash_of(segment)).encode() + b"\0")
    return digest.hexdigest()


def leaks(train: Counted, other: Counted) -> dict[str, list[tuple[str, str]]]:
    """Samples and media that are in training and in another split: pairs of keys, by ``samples`` and ``media``.

    >>> from anyloom.interfaces import Sample
    >>> one = Looked(0, "mine", Sample(Conversation([]), "chat", key="same"), None)
    >>> leaks(count([one]), count([one]))["samples"]
    [('same', 'same')]
    """
    return {
        "samples": [(train.samples[h][0], keys[0]) for h, keys in other.samples.items() if h in train.samples],
        "media": [(train.contents[h][0], keys[0]) for h, keys in other.contents.items() if h in train.contents],
    }


def quantiles(lengths: Sequence[int]) -> Mapping[str, float]:
    """Smallest, median, 90 %, 99 % and largest.

    >>> quantiles([1, 2, 3])["50%"]
    2.0
    """
    if not len(lengths):
        return {}
    return {f"{q:.0%}": float(np.quantile(lengths, q)) for q in _QUANTILES}
