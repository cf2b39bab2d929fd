"""JSON Lines of conversations, the simplest way to bring data of one's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from anyloom.data.sources.jsonl import JsonLines
from anyloom.errors import BadRecord, ConfigError, UnknownNameError
from anyloom.interfaces.component import ComponentConfig
from anyloom.interfaces.dataset import DatasetBuilder, Sample, Source, TaskSamples
from anyloom.media import Isolation, conversation_from_json, io_for

__all__ = ["ConversationFiles", "ConversationTask"]


class ConversationFiles(DatasetBuilder):
    """Each line is ``{"messages": [...], "task": ..., "id": ..., "provenance": {...}}``.

    Media paths are relative to the file.

    The last message must be the assistant's: it is the target. Lines are found by an index and read when they are
    needed, by data workers if there are any.

    >>> from tempfile import TemporaryDirectory
    >>> line = '{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]}'
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "train.jsonl").write_text(line)
    ...     samples = ConversationFiles(ConversationFiles.Config(train=Path(folder, "train.jsonl"))).build("train")
    ...     samples[0].task, samples[0].conversation.messages[-1].text
    ('chat', 'Hello!')
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            train: File of the training split.
            val: File of the validation split.
            test: File of the test split.
            task: Task name of lines that give none.
            media_root: Folder that media paths start from and must stay in; by default that of the file. With ``/`` the
                files may name any file of this machine: only for files that you trust.
            media_options: Options of modalities, such as limits: ``{NAME: {max_seconds: 60}}``.
            media_isolation: Read media in a process of its own, which ends at these limits: ``{seconds: 30,
                megabytes: 4096}``. For files that come from anybody; it costs some time.
        """

        train: Path | None = None
        val: Path | None = None
        test: Path | None = None
        task: str = "chat"
        media_root: Path | None = None
        media_options: dict[str, dict[str, Any]] = Field(default_factory=dict)
        media_isolation: Isolation | None = None

    def build(self, split: str, epoch: int = 0) -> TaskSamples:
        """Open the file of a split. The same in every epoch."""
        del epoch
        path: Path | None = getattr(self.config, split, None) if split in ("train", "val", "test") else None
        if path is None:
            raise ConfigError(f"no file is given for the split {split!r}", where=split, fix="set this option")
        for modality, options in self.config.media_options.items():
            io_for(modality, options)  # a wrong option is said here, not at the first medium
        root = self.config.media_root or path.parent
        task = ConversationTask(self.config.task, root, self.config.media_options, self.config.media_isolation)
        return TaskSamples(JsonLines(path), task)


class ConversationTask:
    """Reads a conversation in the ``messages`` form.

    Args:
        name: Task name of lines that give none.
        root: Folder that media paths start from and stay in.
        options: Options of modalities by name.
        isolation: Limits of the process that reads media; None to read them here.
    """

    def __init__(
        self, name: str, root: Path, options: Mapping[str, Mapping[str, Any]], isolation: Isolation | None
    ) -> None:
        self.name, self.root, self.options, self.isolation = name, root, options, isolation

    def __call__(self, source: Source, index: int, seed: int) -> Sample:
        """Return the conversation of a line; nothing about it is random."""
        del seed
        assert isinstance(source, JsonLines)
        where = source.where(index)
        record = source[index]
        try:
            conversation = conversation_from_json(
                record, root=self.root, where=where, options=self.options, isolation=self.isolation
            )
        except UnknownNameError as error:  # of a modality, which a line cannot name unless it is installed
            raise BadRecord("bad row", error.where, error.what) from error
        if conversation.messages[-1].role != "assistant":
            raise BadRecord("no target", where, "the last message must be the assistant's")
        provenance = _mapping(record, "provenance", where)
        named = [str(record[name]) for name in ("key", "id") if isinstance(record.get(name), str | int)]
        provenance = {"names": named, **provenance} if named else provenance
        return Sample(conversation, str(record.get("task", self.name)), {"source": where, **provenance}, key=where)


def _mapping(record: Any, key: str, where: str) -> dict[str, Any]:
    value = record.get(key, {})
    if not isinstance(value, dict):
        raise BadRecord("bad row", where, f"{key} must be an object, got {json.dumps(value)[:60]}")
    return value
