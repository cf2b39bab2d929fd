"""Interleaved conversations -> one batch: padded ids, and per modality the media with their places.

Shape legend: B samples, S positions, U distinct media of the batch, N places of media, K media with decoder targets.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.features.cache import FeatureCache
from anyloom.interfaces.dataset import Sample
from anyloom.sequence.interleave import IGNORE, Interleaved, Interleaver, Run

__all__ = ["Batch", "Collator", "MediaBatch", "SampleList"]

Preprocess = Callable[[Media], Tensor]


@dataclass
class MediaBatch:
    """All media of one modality in a batch.

    Args:
        keys: Content keys of the U distinct media, ``""`` where there is none.
        fresh: Indices ``(F,)`` into U of the media in ``inputs``; features of the others are in the cache.
        inputs: Preprocessed media ``(F, ...)``, None if F is 0.
        slot: Which of the U media stands at each place ``(N,)``.
        row: Sample of each place ``(N,)``.
        message: Message of each place in its sample ``(N,)``.
        start: Position of each place's first feature step ``(N,)``.
        target: Whether the place is to be produced ``(N,)``, bool.
        decoder_place: Places with decoder targets ``(K,)``.
        decoder_targets: Decoder targets ``(K, ...)``, None if K is 0.
        decoder_sources: For each of the K the medium of the place before it in its sample, preprocessed alike, None
            where there is none; None for all if the decoder uses no sources.
    """

    keys: list[str]
    fresh: Tensor
    inputs: Tensor | None
    slot: Tensor
    row: Tensor
    message: Tensor
    start: Tensor
    target: Tensor
    decoder_place: Tensor
    decoder_targets: Tensor | None
    decoder_sources: list[Tensor | None] | None = None


class SampleList:
    """Samples as a batch carries them.

    Neither a sequence nor a dataclass to Lightning, which would copy the frozen records in it on every transfer.

    Args:
        samples: The samples.
    """

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._samples = tuple(samples)

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples)


@dataclass
class Batch:
    """A batch for :class:`anyloom.AnyToAnyModel`.

    Args:
        ids: ``(B, S)``, right-padded.
        labels: ``(B, S)``.
        attention_mask: ``(B, S)``, 1 for real positions.
        media: By modality.
        samples: The samples it was made from.
    """

    ids: Tensor
    labels: Tensor
    attention_mask: Tensor
    media: dict[str, MediaBatch] = field(default_factory=dict)
    samples: SampleList = field(default_factory=SampleList)


class Collator:
    """Makes batches. Runs in data workers: holds the tokenizer and preprocessing, not the model's weights.

    Args:
        interleaver: Conversation -> sequence.
        encode: Encoder preprocessing by modality.
        decode: Decoder preprocessing by modality; empty when no diffusion loss is wanted.
        decode_limit: At most so many decoder targets per modality and batch (the loss is costly); None for all.
        edits: Modalities whose decoders use sources.
        cache: Features that need no encoding again. Only a loader in the model's own process sees it fill.
    """

    def __init__(
        self,
        interleaver: Interleaver,
        encode: Mapping[str, Preprocess],
        decode: Mapping[str, Preprocess] | None = None,
        *,
        decode_limit: int | None = None,
        edits: Collection[str] = (),
        cache: FeatureCache | None = None,
    ) -> None:
        self.interleaver, self.encode, self.decode = interleaver, dict(encode), dict(decode or {})
        self.decode_limit, self.edits, self.cache = decode_limit, frozenset(edits), cache

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Make a batch of samples."""
        batch = self.join([self.interleaver(s.conversation) for s in samples])
        batch.samples = SampleList(samples)
        return batch

    def length(self, sample: Sample) -> int:
        """Positions a sample takes, for length buckets."""
        return len(self.interleaver(sample.conversation).ids)

    def join(self, sequences: Sequence[Interleaved]) -> Batch:
        """Pad sequences on the right and gather their media."""
        size, length = len(sequences), max(len(s.ids) for s in sequences)
        ids = torch.full((size, length), self.interleaver.tokenizer.pad_id)
        labels = torch.full((size, length), IGNORE)
        mask = torch.zeros((size, length), dtype=torch.long)
        for row, sequence in enumerate(sequences):
            ids[row, : len(sequence.ids)] = sequence.ids
            labels[row, : len(sequence.ids)] = sequence.labels
            mask[row, : len(sequence.ids)] = 1
        modalities = {run.media.modality for s in sequences for run in s.runs}
        return Batch(ids, labels, mask, {m: self._media(m, sequences) for m in sorted(modalities)})

    def _media(self, modality: str, sequences: Sequence[Interleaved]) -> MediaBatch:
        places = [(row, run) for row, s in enumerate(sequences) for run in s.runs if run.media.modality == modality]
        distinct: dict[str | int, int] = {}
        slots = [distinct.setdefault(run.media.key or id(run.media), len(distinct)) for _, run in places]
        media = dict(zip(slots, (run.media for _, run in places)))
        keys = [media[u].key for u in range(len(distinct))]
        fresh = [u for u, key in enumerate(keys) if self.cache is None or not self.cache.has(modality, key)]
        targets = self._decoded_places(modality, [run for _, run in places])
        before = [n - 1 if n and places[n - 1][0] == places[n][0] else None for n in targets]
        wanted = {*targets, *(n for n in before if n is not None and modality in self.edits)}
        decoded = {u: self.decode[modality](media[u]) for u in sorted({slots[n] for n in wanted})}
        sources = [None if n is None else decoded[slots[n]] for n in before] if modality in self.edits else None
        return MediaBatch(
            keys=keys,
            fresh=torch.tensor(fresh, dtype=torch.long),
            inputs=torch.stack([self.encode[modality](media[u]) for u in fresh]) if fresh else None,
            slot=torch.tensor(slots),
            row=torch.tensor([row for row, _ in places]),
            message=torch.tensor([run.message for _, run in places]),
            start=torch.tensor([run.start for _, run in places]),
            target=torch.tensor([run.target for _, run in places]),
            decoder_place=torch.tensor(targets, dtype=torch.long),
            decoder_targets=torch.stack([decoded[slots[n]] for n in targets]) if targets else None,
            decoder_sources=sources,
        )

    def _decoded_places(self, modality: str, runs: Sequence[Run]) -> list[int]:
        """Places that get a diffusion loss, evenly spread where there are more than the limit."""
        targets = [n for n, run in enumerate(runs) if run.target] if modality in self.decode else []
        stride = 1 if self.decode_limit is None or not targets else -(-len(targets) // self.decode_limit)
        return targets[::stride]
