"""lmms-eval's messages and options in this project's form."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import torch

from anyloom.conversation import Conversation, Media, Message, Text
from anyloom.errors import ConversationError
from anyloom.generation.options import GenerationOptions
from anyloom.media import read_media
from anyloom.options import validate

__all__ = ["cut", "options_of", "prompt_of"]

_MEDIA: Final = ("image", "audio", "video")
_KNOWN: Final = ("until", "max_new_tokens", "temperature", "top_p", "do_sample")


def prompt_of(messages: Sequence[Mapping[str, Any]], where: str) -> Conversation:
    """The conversation of a request.

    Args:
        messages: ``{"role", "content"}``, the content a text or parts ``{"type": "text", "text"}`` and
            ``{"type": "image" | "audio" | "video", "url"}``. The address is a path, a Pillow picture, or a sound as
            ``{"array": (T,) or (C, T), "sampling_rate"}``.
        where: Name of the request, for errors.

    Raises:
        anyloom.errors.AnyloomError: A part has another shape, or its medium cannot be read.
    """
    return Conversation([Message(m["role"], _segments(m["content"], where)) for m in messages])


def _segments(content: Any, where: str) -> list[Text | Media]:
    return [Text(content)] if isinstance(content, str) else [_segment(part, where) for part in content]


def _segment(part: Mapping[str, Any], where: str) -> Text | Media:
    kind = part.get("type")
    if kind == "text":
        return Text(str(part["text"]))
    medium = part.get("url")
    if kind in _MEDIA and isinstance(medium, str):
        return read_media(medium, kind)
    if kind == "image" and medium is not None:
        return Media.from_pil(medium)
    if kind == "audio" and isinstance(medium, Mapping) and {"array", "sampling_rate"} <= medium.keys():
        wave = torch.as_tensor(medium["array"]).float()
        mono = wave.reshape(-1, wave.shape[-1]).mean(0, keepdim=True)
        return Media("audio", mono, meta={"sample_rate": float(medium["sampling_rate"])})
    raise ConversationError(
        f"a part of type {kind!r} with a {type(medium).__name__} is not read",
        where=where,
        fix="parts are text, a picture (Pillow or a path), a sound ({'array', 'sampling_rate'} or a path), "
        "and the path of a clip",
    )


def options_of(asked: Mapping[str, Any], modalities: Iterable[str]) -> GenerationOptions:
    """How to answer: with text alone.

    Args:
        asked: lmms-eval's ``generation_kwargs``; what has no meaning here is named in a warning.
        modalities: Of the model.

    Raises:
        anyloom.errors.ConfigError: A value is out of its range.

    >>> options_of({"max_new_tokens": 16, "temperature": 0, "do_sample": False}, ["picture"]).max_new_tokens
    16
    """
    if unknown := sorted(name for name, value in asked.items() if name not in _KNOWN and value not in (None, 1, False)):
        warnings.warn(f"options of a task that change nothing here: {', '.join(unknown)}", UserWarning, stacklevel=2)
    chosen = {name: asked[name] for name in ("max_new_tokens", "temperature", "top_p") if asked.get(name) is not None}
    if asked.get("do_sample") is False:
        chosen["temperature"] = 0.0
    return validate(
        GenerationOptions, {**chosen, "media": dict.fromkeys(modalities, "forbid")}, where="generation_kwargs"
    )


def cut(text: str, until: str | Sequence[str] | None) -> str:
    """What stands before the first of some strings.

    >>> cut("a blue star. And more", [". ", "?"])
    'a blue star'
    """
    for end in [until] if isinstance(until, str) else until or ():
        text = text.split(end)[0] if end else text
    return text
