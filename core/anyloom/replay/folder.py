"""A session as a folder: ``session.json`` and its media by content hash, whole after every turn."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from anyloom.conversation.segments import Media, Message
from anyloom.errors import ConversationError
from anyloom.generation.options import GenerationOptions
from anyloom.media.files import write_media
from anyloom.replay.parts import given_parts
from anyloom.replay.record import Record, Turn, answered, note_for, parse
from anyloom.storage.atomic import file_error, write_text

__all__ = ["FILE", "SessionFolder", "read_record"]

FILE: Final = "session.json"
_MOST_BYTES: Final = 256 << 20


class SessionFolder:
    """Keeps a conversation while it goes on.

    Args:
        folder: Made if missing.
        record: What has been said before.
        notes: Write into every medium that is made what made it.
    """

    def __init__(self, folder: Path, record: Record, *, notes: bool = True) -> None:
        self.folder, self.record, self.notes = folder, record, notes
        self._given = record.media(folder)
        self._reopened = bool(record.turns)

    @property
    def file(self) -> Path:
        """Where the record is."""
        return self.folder / FILE

    def save(self, standing: int | None = None) -> None:
        """Write the record.

        Args:
            standing: How many messages stand, if not as many as the last turn left.

        Raises:
            anyloom.errors.AnyloomError: It cannot be written; the one before is as it was.
        """
        self.record.standing = standing
        with _file_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.file, self.record.model_dump_json(indent=1, exclude_defaults=True) + "\n")

    def add(
        self, question: Message, answer: Message, *, at: int, seed: int, anew: bool, options: GenerationOptions
    ) -> list[Path]:
        """Keep a turn, and return the files of the media that were made, in order.

        Args:
            question: What was asked.
            answer: What was answered.
            at: How many messages stood before.
            seed: What the answer drew from.
            anew: Whether nothing was in the cache.
            options: How it was answered.

        Raises:
            anyloom.errors.AnyloomError: Something cannot be written.
        """
        turn, given, made = answered(
            question, answer, at=at, seed=seed, anew=anew, reopened=self._reopened, options=options
        )
        self._reopened = False
        self._given |= given
        self.record.turns.append(turn)
        for path, media in given.items():
            self._copy(media, self.folder / path)
        written = []
        for number, part in enumerate(turn.answer):
            if "path" not in part:
                continue
            place, media = self.folder / part["path"], made[part["path"]]
            if not place.exists():
                note = note_for(self.record, number, self._given) if self.notes else ""
                write_media(replace(media, note=note), place)
            written.append(place)
        self.save()
        return written

    def add_given(self, question: Message, answer: Message, *, at: int) -> None:
        """Keep a question with an answer that was given too, as an example.

        Raises:
            anyloom.errors.AnyloomError: Something cannot be written.
        """
        parts = [given_parts(message.segments) for message in (question, answer)]
        for _, media in parts:
            self._given |= media
            for path, medium in media.items():
                self._copy(medium, self.folder / path)
        turn = Turn(at=at, seed=0, given=True, question=tuple(parts[0][0]), answer=tuple(parts[1][0]))
        self.record.turns.append(turn)
        self.save()

    def _copy(self, media: Media, place: Path) -> None:
        if place.exists():
            return
        with _file_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            if media.path:
                partial = place.with_name(f".{place.name}.{os.getpid()}.partial")
                shutil.copyfile(media.path, partial)
                partial.replace(place)
                return
        write_media(media, place)


def read_record(file: Path) -> Record:
    """Read ``session.json``, or the one in a folder.

    Raises:
        anyloom.errors.ConversationError: It is not there, too large, or no record.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / FILE).write_text('{"anyloom_record": 1, "seed": 7}')
    ...     read_record(Path(folder)).seed
    7
    """
    file = file / FILE if file.is_dir() else file
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # a pipe would wait for somebody to write
            raise ConversationError("this is not a file", where=str(file), fix="give the folder of a session")
        if file.stat().st_size > _MOST_BYTES:
            raise ConversationError(f"more than {_MOST_BYTES:,} bytes", where=str(file), fix="is it a session?")
        text = file.read_bytes()
    except OSError as error:
        what = f"there is no session ({error.strerror})"
        raise ConversationError(what, where=str(file), fix="give the folder of a session") from error
    return parse(text, str(file))


@contextmanager
def _file_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise file_error(error, path) from error
