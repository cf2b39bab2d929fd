"""Lists of prompts whose answers nobody knows: GenEval, DrawBench, JavisBench, or edits of one's own.

One row a prompt, in jsonl, json, csv, tsv or parquet. The answers are to be media of the kinds that the config names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from anyloom.errors import ConfigError
from anyloom.interfaces import Record, TaskSamples
from anyloom_corpora.reader import Reader, RecordSource, Rows, require_split
from anyloom_corpora.tables import cell, table
from anyloom_corpora.tasks.texts import ask
from anyloom_corpora.tasks.view import RecordTask

__all__ = ["PromptSource", "Prompts"]

_ASK = RecordTask("prompt", ask, ("prompt", "modalities"))
_COPIED = ("caption", "edited_caption", "subject")


class PromptSource(RecordSource):
    """Prompts with what they need.

    Args:
        rows: The table.
        reader: Its options and folder.
    """

    def __init__(self, rows: Rows, reader: Prompts) -> None:
        super().__init__(rows, reader.folder)
        self.config = reader.config

    def __getitem__(self, index: int) -> Record:
        """Return a prompt by its number.

        Raises:
            anyloom.errors.BadRecord: A column or a file is missing.
        """
        return {**super().__getitem__(index), **({} if self.config.key else {"key": f"{index:0{self.config.digits}d}"})}

    def record(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Return a prompt.

        Raises:
            anyloom.errors.BadRecord: A column or a file is missing.
        """
        config = self.config
        record: dict[str, Any] = {"prompt": cell(row, config.prompt, where), "modalities": config.modalities}
        if config.key is not None:
            record["key"] = cell(row, config.key, where)
        if config.family is not None:
            record["family"] = cell(row, config.family, where)
        if config.media is not None:
            modality, column = config.media
            record["given"] = self.folder.media(cell(row, column, where), modality, where)
        record |= {name: str(row[name]) for name in _COPIED if row.get(name)}
        return record


class Prompts(Reader):
    """Prompts from a table; the only split is ``test``.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from anyloom_corpora.fixtures.layouts import write_layout
    >>> with TemporaryDirectory() as folder:
    ...     root = write_layout("geneval", Path(folder))  # as `anyloom layouts` does
    ...     data = Prompts(Prompts.Config(root=root, file="evaluation_metadata.jsonl", family="tag"))
    ...     sample = data.build("test")[0]
    ...     sample.conversation.messages[0].text, sample.provenance["family"]
    ('a photo of a bench', 'single_object')
    """

    natural: ClassVar[Mapping[str, float]] = {}

    class Config(Reader.Config):
        """Options.

        Args:
            file: The table, inside ``root``.
            modalities: What an answer consists of, in order.
            prompt: Column of the prompt.
            key: Column of the name of a prompt, after which outputs are called; by default its number, from 0.
            digits: Digits of that number, filled up with zeros (GenEval has 5).
            family: Column by which values are broken down as well, such as ``tag``.
            media: Modality and column of a medium that the prompt is about, such as ``[image, file]``.
        """

        file: str
        modalities: tuple[str, ...] = Field(("image",), min_length=1)
        prompt: str = "prompt"
        key: str | None = None
        digits: int = Field(1, ge=1, le=12)
        family: str | None = None
        media: tuple[str, str] | None = None

    config: Config

    def source(self, split: str) -> PromptSource:
        """Return the prompts.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, or the table is missing.
        """
        require_split(split, "prompts", ("test",))
        return PromptSource(table(self.file(self.config.file)), self)

    def build(self, split: str, epoch: int = 0) -> TaskSamples:
        """Return a sample a prompt, whose target has no content: nothing can be trained on it.

        Raises:
            anyloom.errors.ConfigError: The split does not exist, the table is missing, or tasks are given.
        """
        del epoch
        if self.config.tasks:
            raise ConfigError("prompts are asked as they are", where="prompts.tasks", fix="leave it out")
        return TaskSamples(self.source(split), _ASK)
