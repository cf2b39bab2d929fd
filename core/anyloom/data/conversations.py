"""JSON Lines of conversations, the simplest way to bring data of one's own."""

from __future__ import annotations

import json
from pathlib import Path

from anyloom.errors import ConfigError, ConversationError
from anyloom.interfaces.component import ComponentConfig
from anyloom.interfaces.dataset import DatasetBuilder, Sample
from anyloom.media.chat_json import conversation_from_json

__all__ = ["ConversationFiles"]


class ConversationFiles(DatasetBuilder):
    """Each line is ``{"messages": [...], "task": ...}``; media paths are relative to the file.

    The last message must be the assistant's: it is the target.
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

    def build(self, split: str, epoch: int = 0) -> list[Sample]:
        """Read the file of a split. The same in every epoch."""
        del epoch
        path: Path | None = getattr(self.config, split, None) if split in ("train", "val", "test") else None
        if path is None:
            raise ConfigError(f"no file is given for the split {split!r}", where=split, fix="set this option")
        if not path.is_file():
            raise ConfigError("there is no such file", where=str(path), fix="check the path")
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConversationError(f"cannot be read ({error})", where=str(path), fix="give JSON Lines") from error
        return [self._sample(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]

    def _sample(self, line: str, path: Path, number: int) -> Sample:
        where = f"{path}:{number}"
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise ConversationError(f"not JSON ({error})", where=where) from error
        conversation = conversation_from_json(value, root=path.parent, where=where)
        if conversation.messages[-1].role != "assistant":
            raise ConversationError("the last message must be the assistant's", where=where)
        task = value.get("task", self.config.task) if isinstance(value, dict) else self.config.task
        return Sample(conversation, str(task), {"source": where})
