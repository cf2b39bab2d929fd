"""Samples -> one batch. Runs in data workers: holds the tokenizer and preprocessing, not the model's weights."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.features.cache import FeatureStore
from anyloom.interfaces.dataset import Sample
from anyloom.interfaces.feature_space import FeatureSpace
from anyloom.sequence.batch import Batch, DecoderTargets, EncoderInputs, MediaBatch, SampleList
from anyloom.sequence.interleave import IGNORE, Interleaved, Interleaver, Run
from anyloom.sequence.seeds import sample_name, seed_of

__all__ = ["Collator", "EncodeStep", "ModalitySteps", "PreparedSample"]

Preprocess = Callable[[Media], Tensor]


@dataclass(frozen=True)
class EncodeStep:
    """How media are prepared for one encoder.

    Args:
        preprocess: The encoder's.
        space: Of its features: media that come with features of this space are not prepared.
        table: Name of the features in a feature store.
    """

    preprocess: Preprocess
    space: FeatureSpace
    table: str


@dataclass(frozen=True)
class ModalitySteps:
    """How media of one modality are prepared.

    Args:
        given: For the encoder whose features are read; None without one.
        wanted: For the encoder whose features are predicted, where it is another.
        decode: Decoder preprocessing; None when no diffusion loss is wanted.
        edits: Whether the decoder uses references.
        latents: Name of the decoder's latents in the feature store; ``""`` where they are not kept.
    """

    given: EncodeStep | None
    wanted: EncodeStep | None = None
    decode: Preprocess | None = None
    edits: bool = False
    latents: str = ""


@dataclass(frozen=True)
class _Place:
    """One medium where it stands."""

    row: int
    sample: int
    offset: int
    number: int
    run: Run


@dataclass(frozen=True)
class PreparedSample:
    """A sample and the sequence it becomes."""

    sample: Sample
    sequence: Interleaved

    @property
    def length(self) -> int:
        """Positions it takes, for length buckets and packing."""
        return len(self.sequence)

    @property
    def cut(self) -> int:
        """Turns that were left out because the conversation was too long, for the ledger."""
        return self.sequence.cut


class Collator:
    """Makes batches.

    Args:
        interleaver: Conversation -> sequence.
        steps: Preprocessing by modality.
        decode_limit: At most so many decoder targets per modality and batch (the loss is costly); None for all.
        cache: Features that need no encoding again. One in memory is seen to fill in the model's own process only.
        seed: Of what is drawn about samples that have no seed of their own; a loop without a loader gives another one
            in each epoch, or every epoch has the same noise.
    """

    def __init__(
        self,
        interleaver: Interleaver,
        steps: Mapping[str, ModalitySteps],
        *,
        decode_limit: int | None = None,
        cache: FeatureStore | None = None,
        seed: int = 0,
    ) -> None:
        self.interleaver, self.steps = interleaver, dict(steps)
        self.decode_limit, self.cache, self.seed = decode_limit, cache, seed

    def __call__(self, samples: Sequence[Sample | PreparedSample]) -> Batch:
        """Make a batch with one sample a row."""
        return self.pack([[sample] for sample in samples])

    def pack(self, rows: Sequence[Sequence[Sample | PreparedSample]]) -> Batch:
        """Make a batch with several samples a row, none of which reads another."""
        prepared = [[s if isinstance(s, PreparedSample) else self.prepare(s) for s in row] for row in rows]
        samples = [p.sample for row in prepared for p in row]
        batch = self.join([[p.sequence for p in row] for row in prepared], samples)
        batch.samples = SampleList(samples)
        return batch

    def prepare(self, sample: Sample) -> PreparedSample:
        """Interleave a sample; its media stay unopened. A loader that sorts by length does this once for each.

        Raises:
            anyloom.errors.ConversationError: The model cannot read it.
        """
        return PreparedSample(sample, self.interleaver(sample.conversation))

    def join(self, rows: Sequence[Sequence[Interleaved]], samples: Sequence[Sample] = ()) -> Batch:
        """Put sequences into padded rows and gather their media.

        Args:
            rows: Sequences of each row.
            samples: Their samples, in the same order, for seeds.
        """
        length = max(sum(len(s) for s in row) for row in rows)
        ids = torch.full((len(rows), length), self.interleaver.tokenizer.pad_id)
        position_ids = torch.zeros((len(rows), length), dtype=torch.long)
        segments = torch.zeros((len(rows), length), dtype=torch.long)
        labels = torch.full((len(rows), length), IGNORE)
        places: list[_Place] = []
        sample = 0
        for row, sequences in enumerate(rows):
            offset = 0
            for number, sequence in enumerate(sequences, 1):
                span = slice(offset, offset + len(sequence))
                ids[row, span], labels[row, span] = sequence.ids, sequence.labels
                labels[row, offset] = IGNORE  # nothing stands before a sample's first token to predict it from
                position_ids[row, span] = torch.arange(len(sequence))
                segments[row, span] = number
                places += [_Place(row, sample, offset, n, run) for n, run in enumerate(sequence.runs)]
                offset, sample = offset + len(sequence), sample + 1
        # The label of position t is compared with the scores at t - 1; an offset of 0 is never labelled.
        at = labels.ne(IGNORE).nonzero()
        batch = Batch(ids, position_ids, segments, at - torch.tensor([[0, 1]]), labels[at[:, 0], at[:, 1]])
        for name in sorted({p.run.media.modality for p in places}):
            batch.media[name] = self._media(name, places, samples)
        batch.cut = sum(s.cut for row in rows for s in row)
        return batch

    def _media(self, modality: str, everything: Sequence[_Place], samples: Sequence[Sample]) -> MediaBatch:
        places = [p for p in everything if p.run.media.modality == modality]
        steps = self.steps[modality]
        media = [p.run.media for p in places]
        target = [p.run.target for p in places]
        seeds = [self._seed(p, samples) for p in places]
        same_sample = [n > 0 and places[n - 1].sample == p.sample for n, p in enumerate(places)]
        return MediaBatch(
            given=None if steps.given is None else self._inputs(steps.given, media, [True] * len(media)),
            wanted=None if steps.wanted is None else self._inputs(steps.wanted, media, target),
            row=_numbers(p.row for p in places),
            sample=_numbers(p.sample for p in places),
            message=_numbers(p.run.message for p in places),
            start=_numbers(p.offset + p.run.start for p in places),
            read=_numbers(n for n, t in enumerate(target) if not t),
            made=_numbers(n for n, t in enumerate(target) if t),
            made_at=_numbered([(p.sample, p.run.message) for p in places if p.run.target]),
            read_chance=_numbers(s for s, t in zip(seeds, target) if not t),
            made_chance=_numbers(s for s, t in zip(seeds, target) if t),
            previous=_numbers(n - 1 if same else -1 for n, same in enumerate(same_sample)),
            decoder=self._targets(steps, places, everything, seeds),
        )

    def _seed(self, place: _Place, samples: Sequence[Sample]) -> int:
        """Of what is drawn about a medium: from its sample, its number there, and this visit of the sample."""
        if not samples:
            return seed_of(self.seed, "", place.number)
        sample = samples[place.sample]
        if sample.seed is not None:
            return seed_of(sample.seed, "visit", place.number)
        return seed_of(self.seed, sample_name(sample), place.number)

    def _inputs(self, step: EncodeStep, media: Sequence[Media], used: Sequence[bool]) -> EncoderInputs:
        """Distinct media, prepared unless their features are known; places that are not used take any slot."""
        items, slots = _distinct([medium if wanted else None for medium, wanted in zip(media, used)])
        known = {
            u: medium.features
            for u, medium in enumerate(items)
            if medium.features is not None and _comes_with_features(medium, step.space)
        }
        return self._stored(items, slots, known, step.table, step.preprocess)

    def _stored(
        self, items: Sequence[Media], slots: Sequence[int], known: dict[int, Tensor], table: str, prepare: Preprocess
    ) -> EncoderInputs:
        """Distinct media, prepared unless what becomes of them is known or in the store."""
        names, came = [medium.key for medium in items], len(known)
        for u, medium in enumerate(items):
            if u not in known and self.cache is not None:
                names[u] = self.cache.name(medium)
                kept = self.cache.read(table, names[u])
                if kept is not None:
                    known[u] = kept
        fresh = [u for u in range(len(items)) if u not in known]
        return EncoderInputs(
            names=names,
            fresh=_numbers(fresh),
            inputs=torch.stack([prepare(items[u]) for u in fresh]) if fresh else None,
            known=_numbers(known),
            features=_stacked(list(known.values())),
            slot=_numbers(slots),
            stored=len(known) - came,
        )

    def _targets(
        self, steps: ModalitySteps, places: Sequence[_Place], everything: Sequence[_Place], all_seeds: Sequence[int]
    ) -> DecoderTargets | None:
        made = [n for n, p in enumerate(places) if p.run.target]
        if steps.decode is None or not made:
            return None
        seeds = [all_seeds[n] for n in made]
        chosen = list(range(len(made)))
        if self.decode_limit is not None and len(made) > self.decode_limit:
            # Any target of the batch may be drawn, the same ones for the same samples.
            chosen = sorted(random.Random(seeds[0]).sample(chosen, self.decode_limit))
        targets, seeds = [made[k] for k in chosen], [seeds[k] for k in chosen]
        media_at = {(p.sample, p.number): p.run.media for p in everything}
        references = [_reference(places[n], media_at) if steps.edits else None for n in targets]
        exists = [r is not None for r in references]
        found = DecoderTargets(
            place=_numbers(chosen),
            places=chosen,
            targets=None,
            references=None,
            has_reference=torch.tensor(exists) if any(exists) else None,
            seeds=seeds,
            chance=_numbers(seeds),
        )
        wanted = [places[n].run.media for n in targets]
        items, slots = _distinct([*wanted, *(references if any(exists) else ())])
        if steps.latents:
            found.media = self._stored(items, slots, {}, steps.latents, steps.decode)
            return found
        prepared = [steps.decode(medium) for medium in items]
        found.targets = torch.stack([prepared[u] for u in slots[: len(wanted)]])
        if any(exists):
            beside = zip(slots[len(wanted) :], exists)
            found.references = torch.stack([prepared[u] if e else torch.zeros_like(prepared[0]) for u, e in beside])
        return found


def _numbered(groups: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Number the members of equal groups in their order."""
    seen = Counter[tuple[int, int]]()
    numbered: list[tuple[int, int, int]] = []
    for group in groups:
        numbered.append((*group, seen[group]))
        seen[group] += 1
    return numbered


def _numbers(values: object) -> Tensor:
    return torch.tensor(list(values), dtype=torch.long)  # type: ignore[call-overload]


def _stacked(features: Sequence[Tensor]) -> Tensor | None:
    """Features in one tensor: of the first one's precision and place, as some may lie on a GPU."""
    return torch.stack([f.to(features[0]) for f in features]) if features else None


def _distinct(media: Sequence[Media | None]) -> tuple[list[Media], list[int]]:
    """Media of different content in order of appearance, and which of them each is; None takes any, the first."""
    numbers: dict[str | int, int] = {}
    items: list[Media] = []
    slots: list[int] = []
    for medium in media:
        slots.append(0 if medium is None else numbers.setdefault(_identity(medium), len(items)))
        if medium is not None and slots[-1] == len(items):
            items.append(medium)
    return items, slots


def _identity(media: Media) -> str | int:
    """Equal for media of equal content, as far as that is known."""
    return media.key or id(media)


def _comes_with_features(media: Media, space: FeatureSpace) -> bool:
    """Whether a medium's own features can be read in place of the medium."""
    if media.features is None or media.space != space.name:
        return False
    return tuple(media.features.shape) == (space.tokens, space.dim)


def _reference(place: _Place, media_at: Mapping[tuple[int, int], Media]) -> Media | None:
    """The medium that a medium edits, if a decoder can read it: of the same modality, and more than its features."""
    if place.run.reference is None:
        return None
    medium = media_at[place.sample, place.run.reference]
    return medium if medium.modality == place.run.media.modality and medium.has_data else None
