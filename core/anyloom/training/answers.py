"""Writes what ``anyloom predict`` generates while it runs, so that media do not pile up in memory."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from anyloom.interfaces.metric import Evaluated
from anyloom.media.answers import answer_json
from anyloom.storage.atomic import write_text
from anyloom.storage.locking import locked

__all__ = ["AnswerWriter"]


class AnswerWriter(Callback):
    """Writes ``answers.jsonl`` with one conversation a line, and its media beside it.

    Args:
        folder: Where to write; made if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        self._lock = ExitStack()

    def _part(self, rank: int) -> Path:
        return self.folder / f"answers-{rank}.jsonl.partial"

    def on_predict_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin this process's file anew.

        Raises:
            anyloom.errors.CheckpointError: Another run writes there.
        """
        if trainer.is_global_zero:
            self._lock.enter_context(locked(self.folder))
        self.folder.mkdir(parents=True, exist_ok=True)
        self._part(trainer.global_rank).write_text("", encoding="utf-8")

    def on_predict_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the answers of one batch, named by their place in the data set."""
        answers: list[Evaluated] = outputs or []
        with self._part(trainer.global_rank).open("a", encoding="utf-8") as file:
            for evaluated in answers:
                index = self.count * trainer.world_size + trainer.global_rank
                prompt = evaluated.sample.conversation.prompt()
                value, _ = answer_json(prompt, evaluated.answer, self.folder, f"{index:06d}")
                file.write(json.dumps({**value, "task": evaluated.sample.task, "index": index}) + "\n")
                self.count += 1

    def on_predict_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Join the files of all processes, in the data set's order."""
        trainer.strategy.barrier()
        if not trainer.is_global_zero:
            return
        parts = [self._part(rank) for rank in range(trainer.world_size)]
        lines = [line for part in parts for line in part.read_text(encoding="utf-8").splitlines()]
        lines.sort(key=lambda line: int(json.loads(line)["index"]))
        path = self.folder / "answers.jsonl"
        write_text(path, "".join(line + "\n" for line in lines))
        for part in parts:
            part.unlink()
        print(f"wrote {len(lines)} answers to {path}")  # noqa: T201 - the command's result

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Let the next run in."""
        self._lock.close()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Let the next run in; after an exception lightning tears nothing down."""
        self._lock.close()
