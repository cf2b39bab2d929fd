"""The data set ``tasks``: chosen tasks over the records of any source."""

from __future__ import annotations

from typing import Any

from anyloom.building import build_named
from anyloom.errors import ConfigError
from anyloom.interfaces import ComponentConfig, DatasetBuilder, Source, TaskSamples
from anyloom_corpora.tasks.choice import Weights, one_of

__all__ = ["TasksBuilder"]


class TasksBuilder(DatasetBuilder):
    """Makes conversations of another data set's records.

    The other data set is any dataset component with a method ``source(split)`` that returns an
    :class:`anyloom.interfaces.Source`; all readers of this package have it.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     clips = {"name": "webvid", "root": str(write_layout("webvid", Path(folder)))}
    ...     data = TasksBuilder(TasksBuilder.Config(source=clips, tasks={"video-to-text": 3, "text-to-video": 1}))
    ...     sorted({sample.task for sample in map(data.build("train").__getitem__, range(4))})
    ['video-to-text']
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            source: Where the records come from: ``{name: ..., **options}`` of a dataset component.
            tasks: How often each task is drawn, relative to the others: a weight, or ``{weight: ..., **options}``.
        """

        source: Any
        tasks: Weights

    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.task = one_of(config.tasks)
        self.records: DatasetBuilder = build_named("dataset", config.source, where="source")
        if not callable(getattr(self.records, "source", None)):
            raise ConfigError(
                f"{type(self.records).__name__} gives finished samples, no records",
                where="source",
                fix="name a data set that has a source, such as 'captioned-files'",
            )

    def source(self, split: str) -> Source:
        """Return the records of a split."""
        records: Any = self.records
        source: Source = records.source(split)
        return source

    def build(self, split: str, epoch: int = 0) -> TaskSamples:
        """Return the samples of a split; which task a record is used for is drawn at each visit.

        Raises:
            anyloom.errors.ConfigError: The source does not have the split.
        """
        del epoch
        return TaskSamples(self.source(split), self.task)
