"""One batch: padded ids, and per modality the media with their places.

Shape legend: B rows, S positions, U distinct media of one modality, N places of media, T of them to be produced, K of
these with decoder targets, C labels, L features per medium, D feature dim.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from anyloom.interfaces.dataset import Sample

__all__ = ["Batch", "DecoderTargets", "EncoderInputs", "MediaBatch", "SampleList"]


@dataclass
class EncoderInputs:
    """Distinct media as one encoder wants them, or as a decoder wants them whose latents are kept.

    Args:
        names: Names of the U distinct media: their keys, or those they have in the feature store; ``""`` for none.
        fresh: Which of the U are in ``inputs`` ``(F,)``.
        inputs: Preprocessed media ``(F, ...)``, None if F is 0.
        known: The others ``(G,)``: they came with their features, or these were in the feature store.
        features: Features ``(G, L, D)``, None if G is 0.
        slot: Which of the U stands at each place ``(N,)``.
        stored: How many of the features were in the feature store.
    """

    names: list[str]
    fresh: Tensor
    inputs: Tensor | None
    known: Tensor
    features: Tensor | None
    slot: Tensor
    stored: int = 0


@dataclass
class DecoderTargets:
    """What a decoder is to learn to make.

    Args:
        place: Which of the T media that are to be produced each is ``(K,)``.
        places: The same as plain numbers.
        targets: Decoder targets ``(K, ...)``; None where ``media`` are given.
        references: Media that are edited ``(K, ...)``, zeros where there is none; None if there is none at all.
        has_reference: Which have one ``(K,)`` bool; None if there is none at all.
        seeds: One per target, from its sample and this visit of it, for generators.
        chance: The same ``(K,)`` on the device, for training.
        media: Where latents are kept: the distinct media among targets and references. Their slots are those of the
            targets ``(K,)``, and then, if there is any reference, those of the references ``(K,)``.
        encoded: ``targets`` and ``references`` are latents.
    """

    place: Tensor
    places: list[int]
    targets: Tensor | None
    references: Tensor | None
    has_reference: Tensor | None
    seeds: list[int]
    chance: Tensor
    media: EncoderInputs | None = None
    encoded: bool = False


@dataclass
class MediaBatch:
    """All media of one modality in a batch. Places are in the order of samples, and of positions within a sample.

    Args:
        given: For the encoder whose features are read; None if the modality has no encoder.
        wanted: For the encoder whose features are predicted; None if it is the same.
        row: Row of each place ``(N,)``.
        sample: Sample of each place ``(N,)``; several samples may stand in one row.
        message: Message of each place in its sample ``(N,)``.
        start: Position of each place's first feature ``(N,)``, one after its begin tag.
        read: Places of media that are read ``(R,)``.
        made: Places of media that are to be produced ``(T,)``; together with ``read`` these are all N.
        made_at: For each of the T its sample, its message, and its number among the media that are to be produced in
            that message; plain numbers, so that nobody waits for a device to read them.
        read_chance: Seeds of what is drawn about each of the R ``(R,)``, from its sample and this visit of it.
        made_chance: The same for the T ``(T,)``.
        previous: Place before each place in its sample ``(N,)``, -1 for the first.
        decoder: Targets of L_DM; None if there are none.
    """

    given: EncoderInputs | None
    wanted: EncoderInputs | None
    row: Tensor
    sample: Tensor
    message: Tensor
    start: Tensor
    read: Tensor
    made: Tensor
    made_at: list[tuple[int, int, int]]
    read_chance: Tensor
    made_chance: Tensor
    previous: Tensor
    decoder: DecoderTargets | None = None


class SampleList:
    """Samples as a batch carries them.

    Neither a sequence nor a dataclass to Lightning, which would copy the frozen records in it on every transfer.

    Args:
        samples: The samples.

    >>> len(SampleList())
    0
    """

    def __init__(self, samples: Iterable[Sample] = ()) -> None:
        self._samples = tuple(samples)

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples)


@dataclass
class Batch:
    """A batch for :class:`anyloom.network.network.Network`.

    Args:
        ids: ``(B, S)``, right-padded.
        position_ids: ``(B, S)``, starting at 0 in every sample.
        segments: Sample of each position in its row ``(B, S)``, numbered from 1; 0 for padding.
        label_at: Rows and positions ``(C, 2)`` whose scores are compared with labels.
        labels: ``(C,)``.
        media: By modality.
        samples: The samples it was made from.
        cut: Turns that were left out of them.
        step_counts: :meth:`counts` of every batch of the optimizer step that this one is part of, where known.

    >>> places, ids = torch.arange(3)[None], torch.tensor([[5, 6, 7]])
    >>> batch = Batch(ids, places, torch.ones(1, 3, dtype=torch.long), torch.tensor([[0, 1]]), torch.tensor([7]))
    >>> batch.counts()
    {'text': 1}
    """

    ids: Tensor
    position_ids: Tensor
    segments: Tensor
    label_at: Tensor
    labels: Tensor
    media: dict[str, MediaBatch] = field(default_factory=dict)
    samples: SampleList = field(default_factory=SampleList)
    cut: int = 0
    step_counts: list[dict[str, int]] | None = None

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The batch with all tensors on a device."""
        moved: Self = _moved(self, device, non_blocking)
        return moved

    def counts(self) -> dict[str, int]:
        """How many things each term of the loss is a sum over, by the term's name."""
        found = {"text": len(self.labels)}
        for name, media in self.media.items():
            found[f"feature/{name}"] = len(media.made)
            found[f"diffusion/{name}"] = 0 if media.decoder is None else len(media.decoder.place)
        return found


def _moved(value: Any, device: torch.device | str, non_blocking: bool) -> Any:
    """Tensors moved; dataclasses and dictionaries walked; everything else as it is."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=non_blocking)
    if isinstance(value, dict):
        return {key: _moved(item, device, non_blocking) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _moved(getattr(value, f.name), device, non_blocking) for f in fields(value)})
    return value
