"""The JSON form of a conversation: the ``messages`` / ``content`` parts shape that chat APIs use.

::

    {"messages": [
        {"role": "user", "content": [{"type": "text", "text": "Turn it upside down: "},
                                     {"type": "scan", "path": "hand.scan"}]},
        {"role": "assistant", "content": "Here it is."}]}

``type`` is ``text`` or the name of any installed modality; one whose media are short texts takes ``text`` in place of
``path``. Paths are relative to the file they stand in, and stay in its folder: a conversation is data,
so it names registered modalities and files below its root, and nothing else. A medium that edits an earlier one says
which with ``"reference": n``, its number among all media of the conversation, counted from 0; one
whose caption an encoder is to read has ``"caption": ...``.
"""

from __future__ import annotations

import filecmp
import glob
import itertools
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from anyloom.conversation.segments import Conversation, Media, Message, Segment, Text
from anyloom.errors import ConversationError, MediaError, UnknownNameError
from anyloom.limits import limit
from anyloom.media.files import io_for, read_media, write_media
from anyloom.media.isolated import Isolation

__all__ = ["conversation_from_json", "conversation_to_json"]

_ROLES = ("system", "user", "assistant")
_LONGEST_CAPTION = 10_000
_OTHER_FORMS = "data in another published form have a dataset of their own, see 'anyloom plugins'; nothing is fetched"
_NO_OPTIONS: Mapping[str, Mapping[str, Any]] = {}


@dataclass(frozen=True)
class _Reading:
    """Where media come from, and how they are read."""

    root: Path
    anywhere: bool = False
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    isolation: Isolation | None = None


def conversation_from_json(
    value: Any,
    *,
    root: Path | None = None,
    where: str = "conversation",
    anywhere: bool = False,
    options: Mapping[str, Mapping[str, Any]] = _NO_OPTIONS,
    isolation: Isolation | None = None,
) -> Conversation:
    """Read a conversation from parsed JSON; media are loaded lazily.

    Args:
        value: ``{"messages": [...]}`` or the list of messages itself.
        root: Folder that paths start from; the working folder by default.
        where: Name of the source, for errors.
        anywhere: Take absolute paths, and paths that leave ``root`` by ``..`` or by a link, too. Only for conversations
            that are trusted: whoever wrote them chooses which files of this machine are read.
        options: Options of modalities by name, such as limits of what is read.
        isolation: Read media in a process of its own, see :func:`anyloom.read_media`.

    Raises:
        anyloom.errors.ConversationError: A part has the wrong shape, or leaves the root; names the message and part.
        anyloom.errors.MediaError: A media file is missing.
        anyloom.errors.UnknownNameError: A part's type is no installed modality.

    >>> conversation_from_json([{"role": "user", "content": "hello"}]).messages[0].text
    'hello'
    """
    messages = value.get("messages") if isinstance(value, Mapping) else value
    if not isinstance(messages, list) or not messages:
        fix = '{"messages": [...]}; ' + _OTHER_FORMS
        raise ConversationError("expected a non-empty list of messages", where=where, fix=fix)
    _require_few(messages, where)
    reading = _Reading(root or Path(), anywhere, options, isolation)
    return Conversation([_message(m, reading, f"{where}.messages[{i}]") for i, m in enumerate(messages)])


def _require_few(messages: list[Any], where: str) -> None:
    """Refuse more parts than a conversation can have, before one of them is looked at."""
    contents = [m.get("content") for m in messages if isinstance(m, Mapping)]
    parts = sum(len(content) if isinstance(content, list) else 1 for content in contents)
    if parts > limit("conversation-parts"):
        what = f"{parts:,} parts are more than the limit of {limit('conversation-parts'):,}"
        raise ConversationError(what, where=where, fix="cut it, or set ANYLOOM_LIMITS=conversation-parts=...")


def _message(value: Any, reading: _Reading, where: str) -> Message:
    if not isinstance(value, Mapping) or value.get("role") not in _ROLES or "content" not in value:
        raise ConversationError(
            "a message needs 'role' and 'content'", where=where, fix=f"role is one of {', '.join(_ROLES)}"
        )
    content = value["content"]
    if isinstance(content, str):
        return Message(value["role"], [_text(content, where)])
    if not isinstance(content, list):
        got = type(content).__name__
        raise ConversationError(f"content must be text or a list of parts, got {got}", where=where)
    return Message(value["role"], [_part(p, reading, f"{where}.content[{i}]") for i, p in enumerate(content)])


def _text(text: str, where: str) -> Text:
    try:
        return Text(text)
    except ConversationError as error:
        raise ConversationError(error.what, where=where, fix=error.fix) from error


def _part(value: Any, reading: _Reading, where: str) -> Segment:
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind == "text" and isinstance(value.get("text"), str):
        return _text(value["text"], where)
    inline = isinstance(kind, str) and isinstance(value.get("text"), str) and "path" not in value
    if not isinstance(kind, str) or kind == "text" or not (inline or isinstance(value.get("path"), str)):
        raise ConversationError(
            f"not a part: {value!r:.200}",
            where=where,
            fix=f'{{"type": "text", "text": ...}} or {{"type": <modality>, "path": ...}}; {_OTHER_FORMS}',
        )
    options = reading.options.get(kind, {})
    try:
        io = io_for(kind, options)
    except UnknownNameError as error:
        raise UnknownNameError(error.what, where=f"{where}.type", fix=error.fix) from error
    if inline:
        try:
            media = io.from_text(value["text"])
        except MediaError as error:
            raise ConversationError(error.what, where=where, fix=error.fix) from error
    else:
        place = _place(value["path"], reading, where)
        media = read_media(place, kind, lazy=True, options=options, isolation=reading.isolation)
    if "caption" in value:
        media = media.captioned(_caption(value["caption"], where))
    return media if "reference" not in value else replace(media, reference=_reference(value["reference"], where))


def _caption(value: Any, where: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_CAPTION:
        what = f"a caption is text of 1 to {_LONGEST_CAPTION} characters, got {value!r:.80}"
        raise ConversationError(what, where=where, fix="shorten it, or leave it out")
    return _text(value, where).text


def _reference(value: Any, where: str) -> int:
    """The number of an earlier medium; whether it is one is seen when the conversation is read by a model."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConversationError(
            f"reference must be the number of an earlier medium, got {value!r:.80}",
            where=where,
            fix="count the media of the conversation from 0",
        )
    return value


def _place(path: str, reading: _Reading, where: str) -> Path:
    """The file that a path of a conversation names: below the root, also after its links are followed."""
    place = reading.root / path
    if reading.anywhere:
        return place
    try:
        root, real = os.path.realpath(reading.root), os.path.realpath(place)
    except (OSError, ValueError) as error:
        raise ConversationError(f"{path[:80]!r} cannot be the path of a file ({error})", where=where) from error
    if os.path.commonpath([root, real]) != root:
        raise ConversationError(
            f"the path {path!r} leaves the folder {reading.root}",
            where=where,
            fix="put the file into that folder; if you trust it, read it with anywhere=True (generate: --anywhere)",
        )
    return place


def conversation_to_json(
    conversation: Conversation, *, folder: Path | None = None, prefix: str = "media"
) -> dict[str, Any]:
    """Return the JSON form; with a folder, every medium lies in it, so that the folder can be moved and sent.

    Args:
        conversation: What to write.
        folder: Where to write media that have no file, and to copy those that lie elsewhere; paths are relative to it.
            Nothing there is written over. Without it, media keep their absolute paths.
        prefix: Beginning of the names of files that are written; copies keep their names.

    Raises:
        anyloom.errors.ConversationError: A media item has no file and no folder is given.
        anyloom.errors.MediaError: A file cannot be written.

    >>> conversation_to_json(Conversation([Message("user", "hello")]))
    {'messages': [{'role': 'user', 'content': [{'type': 'text', 'text': 'hello'}]}]}
    """
    writing = _Writing(folder, prefix)
    return {
        "messages": [
            {"role": m.role, "content": [_to_part(s, writing) for s in m.segments]} for m in conversation.messages
        ]
    }


@dataclass(frozen=True)
class _Writing:
    """Where media go, and the names in the folder of files that were copied."""

    folder: Path | None
    prefix: str
    copied: dict[Path, str] = field(default_factory=dict)


def _to_part(segment: Segment, writing: _Writing) -> dict[str, Any]:
    if isinstance(segment, Text):
        return {"type": "text", "text": segment.text}
    inline = io_for(segment.modality).to_text(segment)
    content = {"path": _file_of(segment, writing)} if inline is None else {"text": inline}
    part: dict[str, Any] = {"type": segment.modality, **content}
    if segment.caption:
        part["caption"] = segment.caption
    return part if segment.reference is None else {**part, "reference": segment.reference}


def _file_of(media: Media, writing: _Writing) -> str:
    if writing.folder is None:
        if not media.path:
            raise ConversationError(f"a {media.modality} has no file", fix="give a folder to write media into")
        return Path(media.path).resolve().as_posix()
    folder = writing.folder.resolve()
    if not media.path:
        taken = (f"{writing.prefix}-{n:03d}" for n in itertools.count())
        name = next(name for name in taken if not any(folder.glob(f"{glob.escape(name)}.*")))
        return write_media(media, folder / name).name
    path = Path(media.path).resolve()
    if path.is_relative_to(folder):
        return path.relative_to(folder).as_posix()
    if path not in writing.copied:
        writing.copied[path] = _copy(path, folder).name
    return writing.copied[path]


def _copy(path: Path, folder: Path) -> Path:
    """Copy a file into a folder under its own name, or one with a number where another file has that."""
    names = itertools.chain([path.name], (f"{path.stem}-{n:03d}{path.suffix}" for n in itertools.count(1)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for to in (folder / name for name in names):
            if not to.exists():
                partial = to.with_name(f".{to.name}.{os.getpid()}.partial")
                try:
                    shutil.copyfile(path, partial)
                    partial.replace(to)
                finally:
                    partial.unlink(missing_ok=True)
                return to
            if filecmp.cmp(path, to, shallow=False):
                return to
    except OSError as error:
        what = f"cannot be copied to {folder} ({error.strerror})"
        raise MediaError(what, where=str(path), fix="check both, and the space that is left") from error
    raise AssertionError("numbers do not end")
