"""The JSON form of a conversation: the ``messages`` / ``content`` parts shape that chat APIs use.

::

    {"messages": [
        {"role": "user", "content": [{"type": "text", "text": "Turn it upside down: "},
                                     {"type": "scan", "path": "hand.scan"}]},
        {"role": "assistant", "content": "Here it is."}]}

``type`` is ``text`` or the name of any installed modality. Paths are relative to the file they stand in.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from anyloom.conversation.segments import Conversation, Media, Message, Segment, Text
from anyloom.errors import ConversationError, UnknownNameError
from anyloom.media.files import io_for, read_media, write_media

__all__ = ["conversation_from_json", "conversation_to_json"]

_ROLES = ("system", "user", "assistant")


def conversation_from_json(value: Any, *, root: Path | None = None, where: str = "conversation") -> Conversation:
    """Read a conversation from parsed JSON; media are loaded lazily.

    Args:
        value: ``{"messages": [...]}`` or the list of messages itself.
        root: Folder that relative paths start from; the working folder by default.
        where: Name of the source, for errors.

    Raises:
        anyloom.errors.ConversationError: A part has the wrong shape; names the message and part.
        anyloom.errors.MediaError: A media file is missing.

    >>> conversation_from_json([{"role": "user", "content": "hello"}]).messages[0].text
    'hello'
    """
    messages = value.get("messages") if isinstance(value, Mapping) else value
    if not isinstance(messages, list) or not messages:
        raise ConversationError("expected a non-empty list of messages", where=where, fix='{"messages": [...]}')
    return Conversation([_message(m, root or Path(), f"{where}.messages[{i}]") for i, m in enumerate(messages)])


def _message(value: Any, root: Path, where: str) -> Message:
    if not isinstance(value, Mapping) or value.get("role") not in _ROLES or "content" not in value:
        raise ConversationError(
            "a message needs 'role' and 'content'", where=where, fix=f"role is one of {', '.join(_ROLES)}"
        )
    content = value["content"]
    if isinstance(content, str):
        return Message(value["role"], content)
    if not isinstance(content, list):
        raise ConversationError(f"content must be text or a list of parts, got {content!r}", where=where)
    return Message(value["role"], [_part(p, root, f"{where}.content[{i}]") for i, p in enumerate(content)])


def _part(value: Any, root: Path, where: str) -> Segment:
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind == "text" and isinstance(value.get("text"), str):
        return Text(value["text"])
    if not isinstance(kind, str) or kind == "text" or not isinstance(value.get("path"), str):
        raise ConversationError(
            f"not a part: {value!r}",
            where=where,
            fix='{"type": "text", "text": ...} or {"type": <modality>, "path": ...}; addresses are not fetched',
        )
    try:
        io_for(kind)
    except UnknownNameError as error:
        raise UnknownNameError(error.what, where=f"{where}.type", fix=error.fix) from error
    return replace(read_media(root / value["path"], kind, lazy=True))


def conversation_to_json(
    conversation: Conversation, *, folder: Path | None = None, prefix: str = "media"
) -> dict[str, Any]:
    """Return the JSON form. Media without a file are written into ``folder``.

    Args:
        conversation: What to write.
        folder: Where to write media that have no file yet; paths inside it are given relative to it.
        prefix: Beginning of the names of files that are written.

    Raises:
        anyloom.errors.ConversationError: A media item has no file and no folder is given.
    """
    names = (f"{prefix}-{n:03d}" for n in itertools.count())
    return {
        "messages": [
            {"role": m.role, "content": [_to_part(s, folder, names) for s in m.segments]} for m in conversation.messages
        ]
    }


def _to_part(segment: Segment, folder: Path | None, names: Iterator[str]) -> dict[str, str]:
    if isinstance(segment, Text):
        return {"type": "text", "text": segment.text}
    return {"type": segment.modality, "path": _file_of(segment, folder, names)}


def _file_of(media: Media, folder: Path | None, names: Iterator[str]) -> str:
    if media.path:
        path = Path(media.path)
    elif folder is None:
        raise ConversationError(f"a {media.modality} has no file", fix="give a folder to write media into")
    else:
        suffix = io_for(media.modality).suffixes[0]
        free = (folder / f"{name}{suffix}" for name in names)
        path = write_media(media, next(path for path in free if not path.exists()))  # answers of before stay
    inside = folder is not None and path.is_relative_to(folder)
    return path.relative_to(folder).as_posix() if inside and folder is not None else path.resolve().as_posix()
