"""What all readers have in common: options, splits, and rows that become records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol

from pydantic import Field

from anyloom.errors import ConfigError, nearest
from anyloom.interfaces import ComponentConfig, DatasetBuilder, Record, Source, TaskSamples
from anyloom_corpora.media import MAX_BYTES, MediaFolder
from anyloom_corpora.tasks.choice import TaskOptions, Weights, one_of
from anyloom_corpora.tasks.view import RelatedSource

__all__ = ["SPLITS", "Part", "Reader", "RecordSource", "Rows", "require_split", "split_by_order"]

SPLITS = ("train", "val", "test")

Share = Annotated[float, Field(ge=0, le=1)]


class Rows(Protocol):
    """Raw rows by index: what :mod:`anyloom.data.sources` gives."""

    @property
    def shards(self) -> Sequence[range]:
        """Ranges that are cheap to read one after another."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Mapping[str, Any]: ...

    def where(self, index: int) -> str:
        """Return the place of a row, for errors."""
        ...


class RecordSource(ABC):
    """A source whose records are made of rows.

    Args:
        rows: The rows.
        folder: Where the files are that rows name.
    """

    def __init__(self, rows: Rows, folder: MediaFolder) -> None:
        self.rows, self.folder = rows, folder

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shards(self) -> Sequence[range]:
        """Those of the rows."""
        return self.rows.shards

    def __getitem__(self, index: int) -> Record:
        """Return a record with its place (``where``) and name (``key``).

        Raises:
            anyloom.errors.BadRecord: The row cannot be used.
        """
        if not 0 <= index < len(self):
            raise IndexError(index)
        where = self.rows.where(index)
        return {"key": str(index), **self.record(self.rows[index], where), "where": where}

    @abstractmethod
    def record(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return the record of a row.

        Raises:
            anyloom.errors.BadRecord: The row cannot be used.
        """


class Part:
    """A stretch of a source, for sets that are published in one piece and split by order.

    Args:
        source: The whole.
        stretch: Which records.
    """

    def __init__(self, source: Source, stretch: range) -> None:
        self.whole, self.stretch = source, stretch

    def __len__(self) -> int:
        return len(self.stretch)

    @property
    def shards(self) -> Sequence[range]:
        """Those of the whole, as far as they are inside."""
        return list(self._cut())

    def _cut(self) -> Iterator[range]:
        start, stop = self.stretch.start, self.stretch.stop
        for shard in self.whole.shards:
            begin, end = max(shard.start, start), min(shard.stop, stop)
            if end > begin:
                yield range(begin - start, end - start)

    def __getitem__(self, index: int) -> Record:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.whole[self.stretch[index]]

    def related(self, index: int) -> Sequence[int]:
        """Records of the whole that belong with a record, as far as they are in this part."""
        if not isinstance(self.whole, RelatedSource):
            return ()
        found = self.whole.related(self.stretch[index])
        return [n - self.stretch.start for n in found if n in self.stretch]


class Reader(DatasetBuilder):
    """A data set in its published layout. Its records can be given to the data set ``tasks`` as well.

    Attributes:
        natural: Tasks, with their weights, that are used if the config names none.
    """

    natural: ClassVar[Mapping[str, float]]

    class Config(ComponentConfig):
        """Options of every reader.

        Args:
            root: Folder of the data set; every file that its rows name is inside.
            tasks: How often each task is drawn, relative to the others; by default those that the set is made for.
            max_bytes: Largest media file that is read, in bytes.
        """

        root: Path
        tasks: Weights | None = None
        max_bytes: int = Field(MAX_BYTES, gt=0)

    config: Config

    @abstractmethod
    def source(self, split: str) -> Source:
        """Return the records of a split.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, or files of the layout are missing.
        """

    def build(self, split: str, epoch: int = 0) -> TaskSamples:
        """Return the samples of a split; which task a record is used for is drawn at each visit.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, or files of the layout are missing.
        """
        del epoch
        return TaskSamples(self.source(split), one_of(self.config.tasks or self.weights()))

    def weights(self) -> Mapping[str, float | TaskOptions]:
        """Return the tasks, with their weights, that are used if the config names none."""
        return self.natural

    @property
    def folder(self) -> MediaFolder:
        """The folder that media are read from."""
        return MediaFolder(self.config.root, self.config.max_bytes)

    def file(self, name: str | Path) -> Path:
        """Return the path of a file of the layout.

        Raises:
            anyloom.errors.ConfigError: It is not there.
        """
        path = self.config.root / name
        if not path.exists():
            raise ConfigError("this file of the layout is missing", where=str(path), fix="check 'root' and file names")
        return path


def require_split(split: str, where: str, among: Sequence[str] = SPLITS) -> None:
    """Check that a split exists.

    Raises:
        anyloom.errors.ConfigError: It does not; names those that do.

    >>> require_split("train", "data")
    >>> try:
    ...     require_split("trian", "data")
    ... except ConfigError as error:
    ...     print(error)
    data: there is no split 'trian'. To fix: did you mean 'train'?
    """
    if split not in among:
        fix = nearest(split, among) or f"use one of {', '.join(among)}"
        raise ConfigError(f"there is no split {split!r}", where=where, fix=fix)


def split_by_order(count: int, shares: Sequence[float], split: str, where: str) -> range:
    """Return which of ``count`` things, in their order, are a split's.

    Args:
        count: How many there are.
        shares: Of train, val and test.
        split: Which of them.
        where: The reader's name, for errors.

    Raises:
        anyloom.errors.ConfigError: The split does not exist, or the shares are more than the whole.

    >>> split_by_order(20, (0.9, 0.05, 0.05), "val", "a set")
    range(18, 19)
    """
    require_split(split, where)
    if sum(shares) > 1 + 1e-9:
        raise ConfigError(
            f"the shares are {sum(shares):.3g} of the whole", where=f"{where}.shares", fix="give 1 or less"
        )
    at = SPLITS.index(split)
    start, stop = (round(sum(shares[:n]) * count) for n in (at, at + 1))
    return range(start, stop)
