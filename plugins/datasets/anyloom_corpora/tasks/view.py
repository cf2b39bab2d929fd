"""What a task sees of a source: one record, others drawn by chance, and those that belong with it.

The fields of a record that tasks read are listed in ``docs/guide/data.md``; a reader gives those that its data set has.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

import numpy as np

from anyloom.conversation import Conversation, Media, Message
from anyloom.errors import BadRecord
from anyloom.interfaces import Record, Sample, Source

__all__ = ["Parts", "RecordTask", "RelatedSource", "UnfitRecord", "View"]

Parts = Sequence[str | Media]
T = TypeVar("T")

_DRAWS: Final = 32


class UnfitRecord(BadRecord):
    """A record that one task cannot use, and another may: it lacks a field, a relative, a noun phrase."""


@runtime_checkable
class RelatedSource(Source, Protocol):
    """A source that knows which of its records belong together: one edit, one subject, one in-context set."""

    def related(self, index: int) -> Sequence[int]:
        """Return the indices of the records that belong with a record, which itself is left out."""
        ...


@dataclass(frozen=True)
class View:
    """One record of a source and the chance that a task may use.

    Args:
        source: Where the record comes from.
        index: Which it is.
        task: Name of the task.
        rng: The only source of chance.
        record: The record itself.
    """

    source: Source
    index: int
    task: str
    rng: random.Random
    record: Record

    @property
    def where(self) -> str:
        """The record's place, for errors."""
        return str(self.record.get("where") or f"record {self.index}")

    @property
    def key(self) -> str:
        """The record's stable name; its index if the reader gives none."""
        return str(self.record.get("key") or self.index)

    def text(self, field: str) -> str:
        """Return a text of the record; of several (the five captions of a sound) one by chance.

        Raises:
            anyloom.errors.BadRecord: There is none.
        """
        value = self.record.get(field)
        if isinstance(value, (list, tuple)) and value:
            value = self.choose(value)
        if not isinstance(value, str) or not value.strip():
            raise UnfitRecord("bad row", self.where, f"there is no {field}")
        return value.strip()

    def media(self, field: str) -> Media:
        """Return a media item of the record.

        Raises:
            anyloom.errors.BadRecord: There is none.
        """
        value = self.record.get(field)
        if not isinstance(value, Media):
            raise UnfitRecord("bad row", self.where, f"there is no {field}")
        return value

    def several(self, field: str, at_least: int) -> list[Media]:
        """Return the media of a field in their order.

        Raises:
            anyloom.errors.BadRecord: There are fewer than asked for.
        """
        found = [media for media in self.record.get(field) or () if isinstance(media, Media)]
        if len(found) < at_least:
            raise UnfitRecord("bad row", self.where, f"{field} has {len(found)}, {at_least} are needed")
        return found

    def choose(self, among: Sequence[T]) -> T:
        """Return one of several by chance."""
        return among[self.rng.randrange(len(among))]

    def numpy_chance(self) -> np.random.RandomState:
        """Return the generator that published mixing scripts draw from; its stream is frozen by numpy's promise."""
        return np.random.RandomState(self.rng.getrandbits(32))

    def at(self, index: int) -> View:
        """Return the view of another record, with the same chance."""
        return View(self.source, index, self.task, self.rng, self.source[index])

    def other(self, *seen: View, fits: Callable[[View], bool] = lambda view: True) -> View:
        """Draw a record that is neither this one nor one of ``seen``; bad ones are drawn again, up to 32 times.

        Args:
            seen: Records that were drawn before.
            fits: What the record must satisfy beyond that.

        Raises:
            anyloom.errors.BadRecord: No fitting record was found; the reason is that of the last bad one.
        """
        taken = {self.index, *(view.index for view in seen)}
        failure: BadRecord = UnfitRecord("bad row", self.where, "no other record goes with this one")
        for _ in range(_DRAWS):
            index = self.rng.randrange(len(self.source))
            if index in taken:
                continue
            try:
                view = self.at(index)
                if fits(view):
                    return view
            except BadRecord as error:
                failure = error
        raise failure

    def related(self, at_least: int, at_most: int) -> list[View]:
        """Draw records that belong with this one, in random order.

        Args:
            at_least: How many there must be.
            at_most: How many are drawn if there are enough.

        Raises:
            anyloom.errors.BadRecord: There are too few readable ones, or the source does not know of any.
        """
        if not isinstance(self.source, RelatedSource):
            raise UnfitRecord("bad row", self.where, "its source does not say which records belong together")
        indices = list(self.source.related(self.index))
        self.rng.shuffle(indices)
        found: list[View] = []
        for index in indices:
            if len(found) == at_most:
                break
            try:
                found.append(self.at(index))
            except BadRecord:  # one bad relative does not spoil the others; it is counted when its own turn comes
                continue
        if len(found) < at_least:
            raise UnfitRecord("bad row", self.where, f"{len(found)} records belong with it, {at_least} are needed")
        return found

    def sample(self, user: Parts, answer: Parts, **provenance: Any) -> Sample:
        """Return the sample of one question and its answer."""
        return self.dialogue([(user, answer)], **provenance)

    def dialogue(self, rounds: Sequence[tuple[Parts, Parts]], **provenance: Any) -> Sample:
        """Return the sample of several questions, each with its answer; the last answer is the target."""
        messages: list[Message] = []
        for user, answer in rounds:
            messages += [Message("user", user), Message("assistant", answer)]
        return self.conversation(Conversation(messages), **provenance)

    def conversation(self, conversation: Conversation, **provenance: Any) -> Sample:
        """Return the sample of a conversation, which says where it comes from and what its targets are.

        Raises:
            anyloom.errors.BadRecord: The conversation does not end with something that the assistant says.
        """
        last = conversation.messages[-1] if conversation.messages else None
        if last is None or last.role != "assistant" or not last.segments:
            raise UnfitRecord("no target", self.where, "the conversation does not end with an answer")
        facts: dict[str, Any] = {"source": self.where, "target": tuple(media.key for media in last.media)}
        if self.record.get("names"):  # what the data set's own programs call the answer
            facts["names"] = tuple(self.record["names"])
        return Sample(conversation, self.task, {**facts, **provenance}, self.key)


@dataclass(frozen=True)
class RecordTask:
    """A task made of a function; picklable if the function has a name in its module.

    Args:
        name: Name of the task.
        make: Returns the sample of a record; takes what chance it needs from the view.
        fields: Fields that a record must have, for documentation and errors.
        options: Further keyword arguments of ``make``.
    """

    name: str
    make: Callable[..., Sample]
    fields: tuple[str, ...] = ()
    options: Mapping[str, Any] | None = None

    def __call__(self, source: Source, index: int, seed: int) -> Sample:
        """Return the sample of a record; see :class:`anyloom.interfaces.Task`.

        Raises:
            anyloom.errors.BadRecord: No sample can be made of the record.
        """
        # a string seeds Python's generator through SHA-512: the same in every process and version
        rng = random.Random(f"{self.name}/{seed}/{index}")
        return self.make(View(source, index, self.name, rng, source[index]), **(self.options or {}))
