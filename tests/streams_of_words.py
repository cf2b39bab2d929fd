"""A mixture of word samples for the tests of the stream: some records are bad when read, some when they are batched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anyloom import Conversation, Message
from anyloom.data.ledger import Ledger
from anyloom.data.loader import Batching, ResumableLoader, SampleOrder
from anyloom.data.mixture import Mixture, Part
from anyloom.data.reading import SampleSet
from anyloom.errors import BadRecord, MediaError
from anyloom.interfaces import Sample

SIZES = {"a": 60, "b": 23, "c": 7}


@dataclass(frozen=True)
class Words:
    """Samples of 1 to 12 words. Every 10th cannot be read, every 11th not be opened."""

    name: str
    broken: bool = True

    def __len__(self) -> int:
        return SIZES[self.name]

    def __getitem__(self, index: int) -> Sample:
        return self.draw(index, 0)

    def draw(self, index: int, seed: int) -> Sample:
        if self.broken and index % 10 == 3:
            raise BadRecord("missing", f"{self.name}:{index}")
        text = " ".join(["word"] * (1 + (index * 7) % 12))
        conversation = Conversation([Message("user", text)])
        return Sample(conversation, "t", {"seed": seed, "index": index}, key=f"{self.name}:{index}")


class Keys:
    """Batches are the keys and seeds of their samples; lengths are words."""

    def __init__(self, broken: bool = True) -> None:
        self.broken = broken

    def length(self, sample: Sample) -> int:
        return len(sample.conversation.messages[0].text.split())

    def __call__(self, samples: list[Sample]) -> list[tuple[str, int]]:
        for sample in samples:
            if self.broken and sample.provenance["index"] % 11 == 5:
                raise MediaError("cannot be opened", where=sample.key)
        return [(s.key, s.provenance["seed"]) for s in samples]

    def pack(self, rows: list[list[Sample]]) -> list[tuple[str, int]]:
        return [pair for row in rows for pair in self(row)]


def order(epochs: float | None = None, **weights: float) -> SampleOrder:
    weights = weights or {"a": 3.0, "b": 2.0, "c": 0.5}
    parts = [Part(name, SIZES[name], weight, epochs=epochs) for name, weight in weights.items()]
    sets = [SampleSet(name, lambda epoch, name=name: Words(name)) for name in weights]
    return SampleOrder(sets, Mixture(parts, seed=4), seed=4)


def loaders(world: int, batching: Batching, data: SampleOrder | None = None, **options: Any) -> list[ResumableLoader]:
    """The loaders of all processes, in this one."""
    return [
        ResumableLoader(data or order(), Keys(), batching, rank=r, world=world, ledger=Ledger(max_bad=1.0), **options)
        for r in range(world)
    ]


def endless(loader: ResumableLoader) -> Any:
    while True:
        yield from loader


def steps(made: Sequence[ResumableLoader], count: int) -> list[list[list[tuple[str, int]]]]:
    """What each process gets in each of some steps."""
    flows = [endless(loader) for loader in made]
    return [[next(flow) for flow in flows] for _ in range(count)]


def joined(made: Sequence[ResumableLoader]) -> dict[str, Any]:
    return made[0].joined_state([loader.local_state() for loader in made])


def close(made: Sequence[ResumableLoader]) -> None:
    for loader in made:
        loader.close()
