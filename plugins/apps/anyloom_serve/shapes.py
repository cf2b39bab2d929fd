"""Messages and answers as the OpenAPI page shows them.

Messages are read by :mod:`anyloom_serve.wire`, which names the part that is wrong, and answers are written by
:mod:`anyloom_serve.chat`; neither builds these classes. Tests hold both against the page.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

__all__ = ["Completion", "Health", "Models", "Pictures", "Refusal", "ShownAs", "ShownMessage"]


class ShownAs:
    """Marks a value that the page shows as another class than the one that it is read as.

    Args:
        model: What is shown.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: Callable[[CoreSchema], JsonSchemaValue]
    ) -> JsonSchemaValue:
        """The other class's schema."""
        return handler(self.model.__pydantic_core_schema__)


class Address(BaseModel):
    """Where a medium is.

    Args:
        url: ``data:<type>;base64,...``; an address that is to be fetched only where the server allows it.
    """

    url: str


class Sound(BaseModel):
    """A sound.

    Args:
        data: The file in base64.
        format: Such as ``wav``, ``flac``, ``mp3``, ``ogg``.
    """

    data: str
    format: str


class TextPart(BaseModel):
    """Words."""

    type: Literal["text"]
    text: str


class PicturePart(BaseModel):
    """A picture: PNG, JPEG, WebP, GIF or BMP."""

    type: Literal["image_url"]
    image_url: Address


class ClipPart(BaseModel):
    """A clip: MP4 or WebM; its sound track is left out."""

    type: Literal["video_url"]
    video_url: Address


class SoundPart(BaseModel):
    """A sound."""

    type: Literal["input_audio"]
    input_audio: Sound


Part = TextPart | PicturePart | ClipPart | SoundPart


class ShownMessage(BaseModel):
    """A message of a request.

    Args:
        role: Who says it.
        content: Words, or parts in order; may be left out of the assistant's messages.
        parts: In place of ``content``, as they come in answers.
    """

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part] | None = None
    parts: list[Part] | None = None


class SoundOut(BaseModel):
    """The first sound of an answer, as WAV in base64."""

    id: str
    data: str
    expires_at: int
    transcript: str


class Answer(BaseModel):
    """An answer.

    Args:
        role: Always the assistant.
        content: All its words.
        parts: Everything in order; may be sent back as ``content``.
        images: Its pictures.
        videos: Its clips.
        audio: Its first sound.
    """

    role: Literal["assistant"]
    content: str | None
    parts: list[Part]
    images: list[PicturePart] | None = None
    videos: list[ClipPart] | None = None
    audio: SoundOut | None = None


class Choice(BaseModel):
    """One of the answers."""

    index: int
    message: Answer
    finish_reason: Literal["stop"]
    logprobs: None


class Usage(BaseModel):
    """Positions of prompt and answer."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ShownMaker(BaseModel):
    """What made the answers.

    Args:
        model: What the server calls it.
        sha256: Of the ``config.json`` of its folder, which lists its files with theirs; empty if it was not saved.
        seed: Of the first answer; the others count on.
    """

    model: str
    sha256: str
    seed: int


class Completion(BaseModel):
    """What ``/v1/chat/completions`` answers; streamed, its ``choices`` have ``delta`` in place of ``message``."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: Usage
    made_by: ShownMaker | None = None


class Picture(BaseModel):
    """A picture that was made, as PNG in base64."""

    b64_json: str


class Pictures(BaseModel):
    """What the routes of pictures answer."""

    created: int
    data: list[Picture]
    made_by: ShownMaker | None = None


class OneModel(BaseModel):
    """A model and what it answers with."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    modalities: list[str]


class Models(BaseModel):
    """What ``/v1/models`` answers."""

    object: Literal["list"]
    data: list[OneModel]


class Health(BaseModel):
    """Answers in the making, and requests that wait."""

    status: Literal["ok"]
    running: int
    waiting: int


class Wrong(BaseModel):
    """What was wrong.

    Args:
        message: What, and what to do.
        type: Its kind.
        param: Where in the request.
        code: Not used.
    """

    message: str
    type: Literal["invalid_request_error", "server_full", "server_error"]
    param: str | None
    code: None


class Refusal(BaseModel):
    """How every refusal looks."""

    error: Wrong
