"""Conversations: messages of segments, text or media, in any order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

__all__ = ["Conversation", "Media", "Message", "Role", "Segment", "Text"]

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Text:
    """A piece of text.

    Args:
        text: The text.
        tokens: Ids that a model made it from. That model reads them again as they are, where its tokenizer would cut
            the text in another way.
    """

    text: str
    tokens: tuple[int, ...] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, eq=False)
class Media:
    """One picture, clip, sound or other media item.

    Args:
        modality: Name of its modality.
        data: The media as a tensor, in the layout its modality declares; None if it is loaded when needed.
        loader: Called without arguments for the tensor when ``data`` is None. Must be picklable.
        key: Stable name of the content. Media of equal key have equal features, so features can be cached.
        path: File it came from or went to.
        meta: What is needed to read the tensor, such as a sample rate; numbers by name.
        features: The features ``(L, D)`` a generated media item was decoded from. A model that made them reads them
            again in place of the media.
        space: Name of the space of ``features``.
        reference: Number, among all media of the conversation, of the earlier one that this one edits or must be
            faithful to; None if there is none or nobody says so.

    >>> import torch
    >>> Media("picture", torch.zeros(3, 2, 2)).tensor().shape
    torch.Size([3, 2, 2])
    """

    modality: str
    data: Tensor | None = None
    loader: Callable[[], Tensor] | None = None
    key: str = ""
    path: str = ""
    meta: Mapping[str, float] = field(default_factory=dict)
    features: Tensor | None = None
    space: str = ""
    reference: int | None = None

    def tensor(self) -> Tensor:
        """Return the media as a tensor, loading it if necessary."""
        if self.data is not None:
            return self.data
        if self.loader is None:
            raise ValueError(f"this {self.modality} has neither data nor a loader")
        return self.loader()


Segment = Text | Media


@dataclass(frozen=True)
class Message:
    """One turn.

    Args:
        role: ``system``, ``user`` or ``assistant``.
        segments: Text and media in order; plain strings are taken as text.

    >>> Message("user", ["hello"]).text
    'hello'
    """

    role: Role
    segments: Sequence[Segment]

    def __init__(self, role: Role, segments: Sequence[Segment | str] | str) -> None:
        parts = [segments] if isinstance(segments, str) else segments
        object.__setattr__(self, "role", role)
        object.__setattr__(self, "segments", tuple(Text(s) if isinstance(s, str) else s for s in parts))

    @property
    def text(self) -> str:
        """All text of the message, media left out."""
        return "".join(s.text for s in self.segments if isinstance(s, Text))

    @property
    def media(self) -> list[Media]:
        """All media of the message, in order."""
        return [s for s in self.segments if isinstance(s, Media)]


@dataclass(frozen=True)
class Conversation:
    """Messages in order."""

    messages: Sequence[Message]

    def __init__(self, messages: Sequence[Message]) -> None:
        object.__setattr__(self, "messages", tuple(messages))

    @property
    def media(self) -> list[Media]:
        """All media of all messages, in order."""
        return [media for message in self.messages for media in message.media]

    def prompt(self) -> Conversation:
        """The conversation without the last message if that is the assistant's: what a model is asked."""
        ends_with_answer = bool(self.messages) and self.messages[-1].role == "assistant"
        return Conversation(self.messages[:-1] if ends_with_answer else self.messages)
