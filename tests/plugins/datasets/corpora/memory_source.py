"""A source in memory, to try tasks on: every field that a task reads, with real tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from anyloom.conversation import Conversation, Media, Message
from anyloom.errors import BadRecord

GROUP = 4
WORDS = ("a dog barking", "rain on a roof", "a church bell", "water dripping", "a car horn", "an engine idling")


def tone(frequency: float, seconds: float = 0.5, rate: int = 16_000, key: str = "") -> Media:
    times = torch.arange(round(seconds * rate)) / rate
    wave = 0.4 * torch.sin(2 * math.pi * frequency * times)[None]
    return Media("audio", wave, key=key or f"tone-{frequency}-{rate}", meta={"sample_rate": rate})


def picture(shade: float, key: str, side: int = 8) -> Media:
    data = torch.full((3, side, side), shade)
    data[0, : side // 2, :] = shade / 2
    data[1, :, : side // 4] = 0
    return Media("image", data, key=key)


def clip(number: int) -> Media:
    frames = torch.linspace(0, 1, 6).view(6, 1, 1, 1) * torch.ones(6, 3, 8, 8)
    return Media("video", frames, key=f"clip-{number}", meta={"fps": 3})


@dataclass(frozen=True)
class MemorySource:
    """Records in groups of four that share edit and subject; records listed in ``bad`` cannot be read."""

    count: int = 12
    bad: frozenset[int] = frozenset()
    without: frozenset[str] = frozenset()
    more: dict = field(default_factory=dict)

    @property
    def shards(self) -> Sequence[range]:
        return [range(self.count)]

    def __len__(self) -> int:
        return self.count

    def related(self, index: int) -> Sequence[int]:
        first = index - index % GROUP
        return [n for n in range(first, min(first + GROUP, self.count)) if n != index]

    def __getitem__(self, index: int):
        if not 0 <= index < self.count:
            raise IndexError(index)
        if index in self.bad:
            raise BadRecord("missing", f"memory:{index}", "not there")
        shade = (index + 1) / (self.count + 1)
        image = picture(shade, f"picture-{index}")
        record = {
            "key": f"record-{index}",
            "where": f"memory:{index}",
            "image": image,
            "before": picture(shade, f"before-{index}"),
            "after": picture(1 - shade, f"after-{index}"),
            "edit": "invert the colours",
            "audio": tone(200 + 50 * index),
            "video": clip(index),
            "caption": [f"{WORDS[index % len(WORDS)]}.", WORDS[index % len(WORDS)]],
            "parts": [("dog", picture(0.2, f"dog-{index}")), ("roof", picture(0.3, f"roof-{index}"))],
            "relation": "{0} on {1}",
            "subject": "dog",
            "images": [picture(0.1 * n, f"series-{index}-{n}") for n in range(6)],
            "examples": [(f"red thing {n}", picture(0.1 * n, f"example-{n}")) for n in range(2)],
            "query": "a red cup",
            "instruction": "Name a part of a honey bee.",
            "input": "",
            "output": "A honey bee typically has six legs.",
            "conversation": Conversation([Message("user", ["What is it? ", image]), Message("assistant", "A square.")]),
            **self.more,
        }
        return {name: value for name, value in record.items() if name not in self.without}
