"""From raw records to samples: a source holds records, a task makes a sample of them, a builder says which.

A sample is a conversation whose assistant part is the target. Everything here is random access and a pure function of
an index and a seed, so that the order of a run is one too: the same on any number of workers and ranks.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from anyloom.conversation.segments import Conversation
from anyloom.interfaces.component import Component

__all__ = ["DatasetBuilder", "Record", "Sample", "Samples", "Source", "Stream", "Task", "TaskSamples"]

Record = Mapping[str, Any]
"""One raw record in its published layout. Media in it are :class:`anyloom.conversation.Media` with a lazy loader that
can be pickled: they are opened in the worker that needs them."""


@dataclass(frozen=True)
class Sample:
    """One training or evaluation sample.

    Args:
        conversation: Ends with the assistant message that is the target.
        task: Name of the task, for mixtures and for metrics by task.
        provenance: Where it comes from and what metrics may need (ids, families, candidates); plain values.
        key: Stable name, unique within its source, for logs and counts; empty if the source has none.
        seed: Of what training draws about it in this visit (noise, times, what is dropped). Loaders give one at each
            visit; without one its name stands for it.

    >>> from anyloom.conversation import Message
    >>> Sample(Conversation([Message("user", "hello"), Message("assistant", "yes?")]), "chat", key="line-1").task
    'chat'
    """

    conversation: Conversation
    task: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    seed: int | None = field(default=None, compare=False, repr=False)


class Source(Protocol):
    """Raw records by index. Picklable and cheap to open, since every data worker opens one."""

    @property
    def shards(self) -> Sequence[range]:
        """Ranges of indices that are cheap to read one after another; one range if locality does not matter."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Record:
        """Return a record.

        Raises:
            anyloom.errors.BadRecord: The record cannot be used; says why and which it is.
        """
        ...


class Task(Protocol):
    """Makes a sample of the records of a source: a pure function of records and seed, and picklable."""

    @property
    def name(self) -> str:
        """Name of the task, for mixtures and metrics by task."""
        ...

    def __call__(self, source: Source, index: int, seed: int) -> Sample:
        """Return the sample of a record; the task may read other records of the source as well.

        Args:
            source: The records.
            index: The record that the sample is about.
            seed: Of every random choice, ``0 <= seed < 2**63``.

        Raises:
            anyloom.errors.BadRecord: No sample can be made of the record.
        """
        ...


class Samples(Protocol):
    """A map-style data set of samples. Must be picklable when there are data workers."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


@dataclass(frozen=True)
class TaskSamples:
    """The samples that a task makes of a source, one for each record.

    Args:
        source: The records.
        task: What is made of them.

    >>> class Greet:
    ...     name = "greet"
    ...     def __call__(self, source, index, seed):
    ...         return Sample(Conversation([]), self.name, key=source[index])
    >>> TaskSamples(["a", "b"], Greet())[1].key
    'b'
    """

    source: Source
    task: Task

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        return self.draw(index, 0)

    @property
    def shards(self) -> Sequence[range]:
        """Those of the source."""
        return self.source.shards

    def draw(self, index: int, seed: int) -> Sample:
        """Return the sample of a record for a seed. Loaders give another seed at each visit of a record."""
        return self.task(self.source, index, seed)


@runtime_checkable
class Stream(Protocol):
    """Samples that come only one after another. A run that resumes reads them with as many ranks as before.

    The state says which sample comes next; the default position of a new stream is its beginning.
    """

    def __iter__(self) -> Iterator[Sample]: ...

    def state_dict(self) -> dict[str, Any]:
        """Return the place of the sample that comes next; plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at a place that :meth:`state_dict` returned."""
        ...


class DatasetBuilder(Component):
    """Builds the samples of a split. Must be picklable: data workers build on copies of it.

    >>> class Nothing(DatasetBuilder):
    ...     def build(self, split, epoch=0):
    ...         return [Sample(Conversation([]), "nothing", key=split)]
    >>> Nothing.from_options().build("val")[0].key
    'val'
    """

    @abstractmethod
    def build(self, split: str, epoch: int = 0) -> Samples | Mapping[str, Samples] | Stream:
        """Return the samples of ``train``, ``val`` or ``test``.

        Args:
            split: Name of the split.
            epoch: Lets a builder that draws at random draw anew; the same epoch gives the same samples.

        Returns:
            Samples by index (a list, :class:`TaskSamples`, anything with ``__len__`` and ``__getitem__``); several
            such sets by task name, which a mixture weighs one by one; or a :class:`Stream`.

        Raises:
            anyloom.errors.ConfigError: The split does not exist; names those that do.
        """
