"""Writing answers: media become files, the conversation becomes JSON beside them. Also what Media can do with files."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

from anyloom.conversation.segments import Conversation, Media, Message
from anyloom.errors import ConversationError
from anyloom.media.chat_json import conversation_to_json
from anyloom.media.claims import modality_of
from anyloom.media.files import io_for, write_media
from anyloom.options import checked_path

__all__ = ["FilesOfMedia", "answer_json", "save_answer"]


def answer_json(
    conversation: Conversation, answer: Message, folder: Path, prefix: str
) -> tuple[dict[str, Any], list[str]]:
    """Write an answer's media into a folder and return the whole conversation's JSON form.

    Args:
        conversation: What was asked.
        answer: What was answered.
        folder: Where media files go; made if missing.
        prefix: Beginning of their names.

    Returns:
        The JSON form, and the modalities of answered media that are left out because no decoder made them.

    >>> import tempfile
    >>> asked = Conversation([Message("user", "hello")])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     content, files = answer_json(asked, Message("assistant", "yes?"), Path(folder), "1")
    >>> [message["role"] for message in content["messages"]], files
    (['user', 'assistant'], [])
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"the folder cannot be made ({error.strerror})"
        raise ConversationError(what, where=str(folder), fix="give another folder") from error
    kept = [s for s in answer.segments if not isinstance(s, Media) or _has_data(s)]
    left_out = [m.modality for m in answer.media if not _has_data(m)]
    whole = Conversation([*conversation.messages, Message(answer.role, kept)])
    return conversation_to_json(whole, folder=folder, prefix=prefix), left_out


def _has_data(media: Media) -> bool:
    return bool(media.path) or media.data is not None or media.loader is not None


def save_answer(message: Message, folder: str | Path) -> Path:
    """Write a message with its media into a folder and return the JSON file; nothing is written over.

    Media that are features only, which no decoder made, are left out.

    Args:
        message: Such as an answer of a model.
        folder: Made if missing.

    Raises:
        anyloom.errors.AnyloomError: The folder cannot be written to, or a medium cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_answer(Message("assistant", "Here it is."), folder).name
    'message.json'
    """
    folder = checked_path(folder, where="answer.save", what="folder")
    value, _ = answer_json(Conversation([]), message, folder, message.role)
    names = itertools.chain(["message.json"], (f"message-{n:03d}.json" for n in itertools.count(1)))
    path = next(path for name in names if not (path := folder / name).exists())
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConversationError(
            f"cannot be written ({error.strerror})", where=str(path), fix="check the place"
        ) from error
    return path


class FilesOfMedia:
    """What :class:`anyloom.Media` and :class:`anyloom.Message` can do with files, through the modalities."""

    def write(self, media: Media, path: str | Path) -> Path:
        """See :func:`anyloom.write_media`."""
        return write_media(media, path)

    def html(self, media: Media) -> str:
        """Return the fragment that the modality shows the media by."""
        return io_for(media.modality).to_html(media)

    def save_answer(self, message: Message, folder: str | Path) -> Path:
        """See :func:`save_answer`."""
        return save_answer(message, folder)

    def from_pillow(self, picture: Any, modality: str | None) -> Media:
        """Return a Pillow picture as media of a modality, by default of the one that reads PNG files."""
        return io_for(modality or modality_of(Path("picture.png"))).from_pillow(picture)

    def to_pillow(self, media: Media) -> Any:
        """Return media as a Pillow picture."""
        return io_for(media.modality).to_pillow(media)
