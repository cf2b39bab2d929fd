"""Samples of a run in its order, with the sequences that a model reads them as; bad ones are told, not raised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from anyloom.checking.inspection import inspect_model
from anyloom.data.ledger import Bad, reason_of
from anyloom.data.mixture import Mixture
from anyloom.data.module import AnyToAnyData
from anyloom.data.reading import Prepared, Reader
from anyloom.data.sample_order import SampleOrder
from anyloom.errors import AnyloomError
from anyloom.interfaces.dataset import Sample
from anyloom.network.config import ModelConfig
from anyloom.options import validate
from anyloom.sequence.interleave import Interleaved, Interleaver

__all__ = ["Looked", "interleaver_of", "look", "samples_in_order"]

_AT_ONCE = 32


@dataclass(frozen=True)
class Looked:
    """A sample.

    Args:
        position: Its place in the order.
        part: Name of its set.
        sample: The sample; its media can be opened.
        sequence: How the model reads it; None without a model.

    >>> from anyloom.conversation import Conversation
    >>> Looked(4, "mine", Sample(Conversation([]), "chat"), None).length
    0
    """

    position: int
    part: str
    sample: Sample
    sequence: Interleaved | None

    @property
    def length(self) -> int:
        """Positions in a sequence; 0 without a model."""
        return 0 if self.sequence is None else len(self.sequence)


def interleaver_of(sections: Mapping[str, Any]) -> tuple[Interleaver | None, str]:
    """The function from conversations to sequences of a config's model; without one, why there is none.

    No weight is read.

    >>> interleaver_of({})
    (None, 'the config has no model')
    """
    if not sections.get("model"):
        return None, "the config has no model"
    found = inspect_model(validate(ModelConfig, sections["model"], where="model"))
    if found.model is None:
        return None, "; ".join(str(problem) for problem in found.problems[:2])
    try:
        return found.model.interleaver(), ""
    except AnyloomError as error:  # the files of its tokenizer are not here
        return None, str(error).removesuffix(".")


@dataclass(frozen=True)
class _Item:
    sample: Sample
    sequence: Interleaved | None

    @property
    def length(self) -> int:
        return 0 if self.sequence is None else len(self.sequence)


class _Reading:
    """What takes the place of a collator: reads a sample as a sequence, makes no batch."""

    def __init__(self, interleaver: Interleaver | None) -> None:
        self.interleaver = interleaver

    def __call__(self, items: list[Any]) -> list[Any]:
        return items

    def prepare(self, sample: Sample) -> _Item:
        return _Item(sample, None if self.interleaver is None else self.interleaver(sample.conversation))


def samples_in_order(data: AnyToAnyData, split: str) -> tuple[SampleOrder, int]:
    """The order of a split and how many positions an epoch has."""
    order = data.order(split)
    assert isinstance(order.order, Mixture)
    return order, order.order.epoch


def look(
    order: SampleOrder, start: int, stop: int, interleaver: Interleaver | None = None, *, media: bool = True
) -> Iterator[Looked | Bad]:
    """Read the samples of some positions.

    Args:
        order: See :func:`samples_in_order`.
        start: First position.
        stop: Position after the last.
        interleaver: Reads them as sequences.
        media: Open their media too, so that those that cannot be read are told.

    Raises:
        anyloom.errors.AnyloomError: What is wrong is not about one record.
    """
    reader = Reader(order.sets, _Reading(interleaver))
    for begin in range(start, stop, _AT_ONCE):
        for found in reader.prepare(order.order.draws(begin, min(stop, begin + _AT_ONCE))):
            yield _opened(found) if media and isinstance(found, Prepared) else _told(found)


def _told(found: Prepared | Bad) -> Looked | Bad:
    if isinstance(found, Bad):
        return found
    return Looked(found.position, found.part, found.item.sample, found.item.sequence)


def _opened(found: Prepared) -> Looked | Bad:
    try:
        for media in found.item.sample.conversation.media:
            if media.data is not None or media.loader is not None:
                media.tensor()
    except AnyloomError as error:
        if reason_of(error) is None:
            raise
        return Bad(found.position, found.part, found.key, error)
    return _told(found)
