"""JSON Lines of conversations, the simplest way to bring data of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anyloom.data.sources.jsonl import JsonLines
from anyloom.errors import BadRecord, ConfigError, UnknownNameError
from anyloom.interfaces.component import ComponentConfig
from anyloom.interfaces.dataset import DatasetBuilder, Sample, Source, TaskSamples
from anyloom.media.chat_json import conversation_from_json

__all__ = ["ConversationFiles", "ConversationTask"]


class ConversationFiles(DatasetBuilder):
    """Each line is ``{"messages": [...], "task": ..., "provenance": {...}}``; media paths are relative to the file.

    The last message must be the assistant's: it is the target. Lines are found by an index and read when they are
    needed, by data workers if there are any.
    """

    class Config(ComponentConfig):
        """Options.

        Args:
            train: File of the training split.
            val: File of the validation split.
            test: File of the test split.
            task: Task name of lines that give none.
        """

        train: Path | None = None
        val: Path | None = None
        test: Path | None = None
        task: str = "chat"

    def build(self, split: str, epoch: int = 0) -> TaskSamples:
        """Open the file of a split. The same in every epoch."""
        del epoch
        path: Path | None = getattr(self.config, split, None) if split in ("train", "val", "test") else None
        if path is None:
            raise ConfigError(f"no file is given for the split {split!r}", where=split, fix="set this option")
        return TaskSamples(JsonLines(path), ConversationTask(self.config.task))


class ConversationTask:
    """Reads a conversation in the ``messages`` form.

    Args:
        name: Task name of lines that give none.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, source: Source, index: int, seed: int) -> Sample:
        """Return the conversation of a line; nothing about it is random."""
        del seed
        assert isinstance(source, JsonLines)
        where = source.where(index)
        record = source[index]
        try:
            conversation = conversation_from_json(record, root=source.lines.path.parent, where=where)
        except UnknownNameError as error:  # of a modality, which a line cannot name unless it is installed
            raise BadRecord("bad row", error.where, error.what) from error
        if conversation.messages[-1].role != "assistant":
            raise BadRecord("no target", where, "the last message must be the assistant's")
        provenance = _mapping(record, "provenance", where)
        return Sample(conversation, str(record.get("task", self.name)), {"source": where, **provenance}, key=where)


def _mapping(record: Any, key: str, where: str) -> dict[str, Any]:
    value = record.get(key, {})
    if not isinstance(value, dict):
        raise BadRecord("bad row", where, f"{key} must be an object, got {json.dumps(value)[:60]}")
    return value
