"""What data workers do: read samples, measure them, make batches. Picklable, and the same in every process."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from anyloom.data.ledger import Bad, reason_of
from anyloom.data.mixture import Draw
from anyloom.data.order import seed_of
from anyloom.errors import AnyloomError, BadRecord, ConfigError
from anyloom.interfaces.dataset import Sample, Samples
from anyloom.media.isolated import Isolation, reading_apart

__all__ = ["Made", "Prepared", "Reader", "SampleSet"]


@dataclass(frozen=True)
class Prepared:
    """A sample that has been read and measured; its media have not been opened.

    Args:
        position: Its position in the order.
        part: Name of its set.
        key: Which record it is.
        item: What the collator takes: the sample, or what the collator's ``prepare`` made of it.
        length: Positions it takes in a sequence; 0 if the collator does not say.
        lost: Turns that were left out of it because it was too long.

    >>> Prepared(4, "mine", "a.jsonl:5", item="a sample", length=9).sealed().opened().item
    'a sample'
    """

    position: int
    part: str
    key: str
    item: Any
    length: int
    lost: int = 0

    def sealed(self) -> Prepared:
        """The same with an item in bytes, which processes hand on without looking at it."""
        return replace(self, item=_Sealed(pickle.dumps(self.item)))

    def opened(self) -> Prepared:
        """The same with the item itself."""
        return replace(self, item=pickle.loads(self.item.content)) if isinstance(self.item, _Sealed) else self


@dataclass(frozen=True)
class _Sealed:
    content: bytes


@dataclass(frozen=True)
class Made:
    """A batch.

    Args:
        batch: What the collator made; None if no sample could be used.
        used: Name of the set of each sample in it.
        bad: Samples that could not be used.
        lost: Name of the set of each turn that was left out of them.

    >>> Made(batch=[1, 2], used=["mine", "mine"], bad=[]).lost
    []
    """

    batch: Any
    used: list[str]
    bad: list[Bad]
    lost: list[str] = field(default_factory=list)


class SampleSet:
    """One set of a mixture: builds the samples of a pass when one of them is asked for.

    Samples that take a seed (``draw``) are the same set in every pass. Others are built for each, as builders may draw
    anew in each epoch; the last two passes are kept.

    Args:
        name: Name of the set.
        build: Gives the samples of a pass.
        first: Those of the first pass, where they have been built.

    >>> mine = SampleSet("mine", lambda epoch: ["a", "b"])
    >>> mine.read(Draw(position=5, part=0, turn=2, index=1, seed=3))
    'b'
    """

    def __init__(self, name: str, build: Callable[[int], Samples], first: Samples | None = None) -> None:
        self.name, self.build = name, build
        self._built: dict[int, Samples] = {} if first is None else {0: first}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_built": {}}

    def samples(self, turn: int = 0) -> Samples:
        """Return the samples of a pass.

        Raises:
            anyloom.errors.ConfigError: They are not as many as in the first.
        """
        first = self._built.get(0)
        if first is not None and hasattr(first, "draw"):
            return first
        if turn not in self._built:
            built = self.build(turn)
            if hasattr(built, "draw"):
                self._built = {0: built}
                return built
            if first is not None and len(built) != len(first):
                raise ConfigError(
                    f"{len(built)} samples in epoch {turn}, but {len(first)} in epoch 0",
                    where=f"data.datasets.{self.name}",
                    fix="a builder gives equally many in every epoch",
                )
            self._built = {t: s for t, s in self._built.items() if t in (0, turn - 1)} | {turn: built}
        return self._built[turn]

    def read(self, draw: Draw) -> Sample:
        """Return the sample that a draw stands for."""
        samples = self.samples(draw.turn)
        seeded: Callable[[int, int], Sample] | None = getattr(samples, "draw", None)
        try:
            return samples[draw.index] if seeded is None else seeded(draw.index, draw.seed)
        except Exception as error:
            error.add_note(f"while reading sample {draw.index} of data.datasets.{self.name}")
            raise


class Reader:
    """Reads draws and makes batches of them.

    Args:
        sets: The sets of the mixture.
        collate: Makes a batch of a list of items. It may have ``prepare(sample)``, which gives an item with a
            ``length`` and perhaps ``cut``, the turns left out of it, or ``length(sample)``; and ``pack(rows)``, which
            makes a batch of lists of items.
        longest: Samples that are longer are left out; None for any length.
        isolation: Limits of the process that decodes media; None to decode them here.
        chance: Seed of the run, from which every visit of a sample gets a seed; None leaves samples without.

    >>> from anyloom.conversation import Conversation
    >>> samples = [Sample(Conversation([]), "caption", key=key) for key in "ab"]
    >>> reader = Reader([SampleSet("mine", lambda epoch: samples)], lambda batch: [sample.key for sample in batch])
    >>> reader.read([Draw(0, 0, 0, 1, seed=3), Draw(1, 0, 0, 0, seed=4)]).batch
    ['b', 'a']
    """

    def __init__(
        self,
        sets: Sequence[SampleSet],
        collate: Callable[[list[Any]], Any],
        longest: int | None = None,
        isolation: Isolation | None = None,
        chance: int | None = None,
    ) -> None:
        self.sets, self.collate, self.longest, self.isolation = list(sets), collate, longest, isolation
        self.chance = chance

    @property
    def measures(self) -> bool:
        """Whether the collator says how long a sample is."""
        return hasattr(self.collate, "prepare") or hasattr(self.collate, "length")

    def prepare(self, draws: Sequence[Draw]) -> list[Prepared | Bad]:
        """Read and measure samples. One that cannot be used is told, and raised by nobody.

        Raises:
            anyloom.errors.AnyloomError: What is wrong is not about one record.
        """
        with reading_apart(self.isolation):
            return [self._prepared(draw) for draw in draws]

    def make(self, rows: Sequence[Sequence[Prepared]], *, packed: bool) -> Made:
        """Open the media of samples and make a batch of them; of those that can be opened if some cannot.

        Args:
            rows: Rows of samples that share a row of the batch; one each if they are not packed.
            packed: Hand rows to the collator's ``pack``, in place of single samples.

        Raises:
            anyloom.errors.AnyloomError: What is wrong is not about one record.
        """
        with reading_apart(self.isolation):
            return self._usable([[sample.opened() for sample in row] for row in rows], packed)

    def _usable(self, rows: Sequence[Sequence[Prepared]], packed: bool) -> Made:
        try:
            return self._made(rows, packed, [])
        except AnyloomError as error:
            if reason_of(error) is None:
                raise
            bad = [found for row in rows for sample in row if (found := self._fault(sample)) is not None]
            if not bad:
                raise
        positions = {b.position for b in bad}
        good = [[sample for sample in row if sample.position not in positions] for row in rows]
        return self._made([row for row in good if row], packed, bad)

    def read(self, draws: Sequence[Draw]) -> Made:
        """Read samples and make a batch of them, in one."""
        found = self.prepare(draws)
        made = self.make([[sample] for sample in found if isinstance(sample, Prepared)], packed=False)
        return Made(made.batch, made.used, [b for b in found if isinstance(b, Bad)] + made.bad, made.lost)

    def _made(self, rows: Sequence[Sequence[Prepared]], packed: bool, bad: list[Bad]) -> Made:
        if not rows:
            return Made(None, [], bad)
        items = [[sample.item for sample in row] for row in rows]
        batch = self.collate.pack(items) if packed else self.collate([item for row in items for item in row])  # type: ignore[attr-defined]
        samples = [sample for row in rows for sample in row]
        return Made(batch, [s.part for s in samples], bad, [s.part for s in samples for _ in range(s.lost)])

    def _fault(self, sample: Prepared) -> Bad | None:
        try:
            self.collate([sample.item])
        except AnyloomError as error:
            return Bad(sample.position, sample.part, sample.key, error)
        return None

    def _prepared(self, draw: Draw) -> Prepared | Bad:
        part = self.sets[draw.part]
        key = f"{part.name}[{draw.index}]"
        try:
            sample = self._visited(part.read(draw), draw)
            key = sample.key or str(sample.provenance.get("source", key))
            item, length = self._measured(sample)
            if self.longest is not None and length > self.longest:
                raise BadRecord("too long", key, f"{length} positions; at most {self.longest} fit")
        except AnyloomError as error:
            if reason_of(error) is None:
                raise
            return Bad(draw.position, part.name, key, error)
        return Prepared(draw.position, part.name, key, item, length, getattr(item, "cut", 0))

    def _visited(self, sample: Sample, draw: Draw) -> Sample:
        if self.chance is None or not isinstance(sample, Sample):
            return sample
        return replace(sample, seed=seed_of(self.chance, draw.position, draw.seed))

    def _measured(self, sample: Sample) -> tuple[Any, int]:
        prepare = getattr(self.collate, "prepare", None)
        if prepare is not None:
            item = prepare(sample)
            return item, int(item.length)
        length = getattr(self.collate, "length", None)
        return sample, 0 if length is None else int(length(sample))
