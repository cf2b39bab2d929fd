"""Bodies of requests, under OpenAI's names. An option that this server does not have is refused, not ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from anyloom_serve.shapes import ShownAs, ShownMessage

__all__ = ["ChatRequest", "ImageRequest", "SpeechRequest"]

_SEED = Field(None, ge=0, lt=2**63)


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    user: str | None = None


class StreamOptions(BaseModel):
    """What a stream ends with.

    Args:
        include_usage: Send the usage in a piece of its own at the end.
    """

    model_config = ConfigDict(extra="forbid")

    include_usage: bool = False


class ChatRequest(_Request):
    """Body of ``/v1/chat/completions``.

    Args:
        messages: The conversation; see :mod:`anyloom_serve.wire` for the parts.
        modalities: What may come: ``text`` and modalities of the model; all by default. Without ``text``, one medium of
            each that is named comes.
        plan: The segments of the answer in order, such as ``["text", "image"]``, in place of ``modalities``.
        sampling: Options of the decoders, by modality.
        stream: Send pieces as they come, as server-sent events.
        stream_options: See :class:`StreamOptions`.
        max_tokens: Text tokens.
        max_completion_tokens: The same under its newer name.
        max_media: Media.
        temperature: Of text; 0 takes the likeliest token.
        top_p: Nucleus of text.
        seed: Answers are the same for the same seed; drawn by chance if none is given.
        n: Answers to give.
        audio: ``{"format": "wav"}``; voices are not known here.
    """

    messages: list[Annotated[dict[str, Any], ShownAs(ShownMessage)]] = Field(min_length=1)
    modalities: list[str] | None = None
    plan: list[str] | None = None
    sampling: dict[str, dict[str, Any]] = Field(default_factory=dict)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=0)
    max_completion_tokens: int | None = Field(None, ge=0)
    max_media: int | None = Field(None, ge=0)
    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int | None = _SEED
    n: int = Field(1, ge=1)
    audio: dict[str, Any] | None = None


class ImageRequest(_Request):
    """Body of ``/v1/images/generations``.

    Args:
        prompt: What to draw.
        n: Pictures.
        response_format: Pictures come as base64 only; addresses are not handed out.
        seed: Of the first picture; drawn by chance if none is given.
        sampling: Options of the decoder.
    """

    prompt: str = Field(min_length=1)
    n: int = Field(1, ge=1)
    response_format: Literal["b64_json"] | None = None
    seed: int | None = _SEED
    sampling: dict[str, Any] = Field(default_factory=dict)


class SpeechRequest(_Request):
    """Body of ``/v1/audio/speech``; what comes is the sound that the words ask for.

    Args:
        input: What to play.
        voice: Taken for clients that must send one; not used.
        response_format: Sounds come as WAV.
        seed: Drawn by chance if none is given.
        sampling: Options of the decoder.
    """

    input: str = Field(min_length=1)
    voice: Any = None
    response_format: Literal["wav"] = "wav"
    seed: int | None = _SEED
    sampling: dict[str, Any] = Field(default_factory=dict)
