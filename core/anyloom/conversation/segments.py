"""Conversations: messages of segments, text or media, in any order."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from anyloom.conversation.medium import Media, provided_files
from anyloom.errors import ConversationError

__all__ = ["Conversation", "Media", "Message", "Role", "Segment", "Text"]

Role = Literal["system", "user", "assistant"]

_ROLES = get_args(Role)


@dataclass(frozen=True)
class Text:
    """A piece of text.

    Args:
        text: The text.
        tokens: Ids that a model made it from. That model reads them again as they are, where its tokenizer would cut
            the text in another way.

    Raises:
        anyloom.errors.ConversationError: It is no text, or cannot be written as UTF-8.

    >>> Text("a red heart").text
    'a red heart'
    """

    text: str
    tokens: tuple[int, ...] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise ConversationError(f"text must be a string, got {type(self.text).__name__}", where="Text")
        if not self.text.isascii():
            try:
                self.text.encode("utf-8")
            except UnicodeEncodeError as error:  # half of a surrogate pair: no tokenizer takes it
                what = f"character {error.start} of the text is no character of Unicode ({error.reason})"
                raise ConversationError(what, where="Text", fix="leave it out") from error


Segment = Text | Media


@dataclass(frozen=True)
class Message:
    """One turn.

    Args:
        role: ``system``, ``user`` or ``assistant``.
        segments: Text and media in order; plain strings are taken as text.

    Raises:
        anyloom.errors.ConversationError: There is no such role, or a segment is neither text nor media.

    >>> Message("user", ["hello"]).text
    'hello'
    """

    role: Role
    segments: Sequence[Segment]

    def __init__(self, role: Role, segments: Sequence[Segment | str] | str) -> None:
        if role not in _ROLES:
            raise ConversationError(
                f"no role is called {role!r}", where="Message", fix=f"role is one of {', '.join(_ROLES)}"
            )
        parts = [segments] if isinstance(segments, str) else _listed(segments, "Message", "text and media")
        object.__setattr__(self, "role", role)
        object.__setattr__(self, "segments", tuple(_segment(part, n) for n, part in enumerate(parts)))

    @property
    def text(self) -> str:
        """All text of the message, media left out."""
        return "".join(s.text for s in self.segments if isinstance(s, Text))

    @property
    def media(self) -> list[Media]:
        """All media of the message, in order."""
        return [s for s in self.segments if isinstance(s, Media)]

    def save(self, folder: str | Path) -> Path:
        """Write the message as ``message.json`` with its media beside it; nothing in the folder is written over.

        Args:
            folder: Made if missing.

        Returns:
            Path of the JSON file, which :func:`anyloom.media.conversation_from_json` reads.

        Raises:
            anyloom.errors.AnyloomError: The folder cannot be written to, or a medium cannot be written.
        """
        return provided_files().save_answer(self, folder)

    def _repr_html_(self) -> str:
        """Show the message in a notebook, media in their places."""
        parts = (html.escape(s.text) if isinstance(s, Text) else s._repr_html_() for s in self.segments)
        return f"<p><b>{self.role}:</b> {' '.join(parts)}</p>"


@dataclass(frozen=True)
class Conversation:
    """Messages in order.

    Raises:
        anyloom.errors.ConversationError: They are no messages.

    >>> talk = Conversation([Message("user", "hello"), Message("assistant", "yes?")])
    >>> [m.role for m in talk.prompt().messages]
    ['user']
    """

    messages: Sequence[Message]

    def __init__(self, messages: Sequence[Message]) -> None:
        listed = _listed(messages, "Conversation", "messages")
        for number, message in enumerate(listed):
            if not isinstance(message, Message):
                raise ConversationError(
                    f"message {number} is {_kind(message)}",
                    where="Conversation",
                    fix='give anyloom.Message("user", ...)',
                )
        object.__setattr__(self, "messages", tuple(listed))

    @property
    def media(self) -> list[Media]:
        """All media of all messages, in order."""
        return [media for message in self.messages for media in message.media]

    def prompt(self) -> Conversation:
        """The conversation without the last message if that is the assistant's: what a model is asked."""
        ends_with_answer = bool(self.messages) and self.messages[-1].role == "assistant"
        return Conversation(self.messages[:-1] if ends_with_answer else self.messages)

    def _repr_html_(self) -> str:
        """Show the conversation in a notebook."""
        return "".join(message._repr_html_() for message in self.messages)


def _listed(value: Any, where: str, expected: str) -> list[Any]:
    if type(value) is list:
        return value
    if isinstance(value, str | bytes | dict | Message | Text | Media) or not isinstance(value, Iterable):
        raise ConversationError(
            f"expected a list of {expected}, got {_kind(value)}", where=where, fix="put it in a list"
        )
    return list(value)


def _segment(part: Any, number: int) -> Segment:
    if isinstance(part, str):
        return Text(part)
    if isinstance(part, Text | Media):
        return part
    picture = type(part).__module__.startswith("PIL")
    raise ConversationError(
        f"segment {number} is {_kind(part)}, neither text nor media",
        where="Message",
        fix="use anyloom.Media.from_pil(picture)"
        if picture
        else "use anyloom.Media(modality, tensor) or read_media(path)",
    )


def _kind(value: Any) -> str:
    return f"the string {value[:40]!r}" if isinstance(value, str) else f"of type {type(value).__name__}"
