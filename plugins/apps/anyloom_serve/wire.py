"""What goes over the wire: requests in OpenAI's shape -> conversations, answers -> parts of OpenAI's shape.

A message's ``content`` is text or a list of parts: ``text``, ``image_url``, ``video_url`` (data addresses), and
``input_audio``; see :mod:`anyloom_serve.shapes`. An answer has its text in ``content``, pictures in ``images``, clips
in ``videos``, the first sound in ``audio``, and everything in order in ``parts``, which a client may send back as
``content``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from anyloom.conversation import Conversation, Media, Message, Text
from anyloom.errors import ConversationError
from anyloom.media import Isolation, read_media, write_media
from anyloom_serve.fetching import fetch
from anyloom_serve.limits import Limits
from anyloom_serve.noting import Original

__all__ = ["Reader", "data_address", "message_parts", "written"]

_DATA: Final = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)(?:;[\w.+=-]+)*;base64,", re.ASCII)
_SUFFIXES: Final = {
    "image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/gif": ".gif", "image/bmp": ".bmp",
    "audio/wav": ".wav", "audio/x-wav": ".wav", "audio/wave": ".wav", "audio/flac": ".flac", "audio/mpeg": ".mp3",
    "audio/mp3": ".mp3", "audio/ogg": ".ogg", "video/mp4": ".mp4", "video/webm": ".webm",
}  # fmt: skip
_WRITTEN: Final = {"image": (".png", "image/png"), "audio": (".wav", "audio/wav"), "video": (".mp4", "video/mp4")}
_KINDS: Final = {"image_url": "image", "video_url": "video"}
_ROLES: Final = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


@dataclass
class Reader:
    """Reads the messages of one request within limits.

    Args:
        limits: Of sizes and numbers.
        takes: Modalities that the model knows; None asks for none in particular.
        fetching: Fetch what is named by an address; otherwise such parts are refused.
        apart: Open media in a process of its own, which may hang or crash.
        media: How many have been read.
        parts: Likewise.
        numbers: In media that were opened.
        originals: Media as they came, by key.
    """

    limits: Limits
    takes: Collection[str] | None = None
    fetching: bool = False
    apart: bool = True
    media: int = 0
    parts: int = 0
    numbers: int = 0
    originals: dict[str, Original] = field(default_factory=dict)

    def conversation(self, messages: Sequence[Mapping[str, Any]]) -> Conversation:
        """The conversation of a request.

        Raises:
            anyloom.errors.AnyloomError: A part is none, too large, or cannot be opened; names it.
        """
        if len(messages) > self.limits.messages:
            raise _wrong(f"{len(messages)} messages are more than {self.limits.messages}", "messages")
        return Conversation([self._message(m, f"messages[{n}]") for n, m in enumerate(messages)])

    def _message(self, message: Mapping[str, Any], where: str) -> Message:
        role = _ROLES.get(str(message.get("role")))
        if role is None:
            raise _wrong(f"no role is called {message.get('role')!r:.40}", f"{where}.role")
        content = message.get("parts") or message.get("content")
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        if content is None and role == "assistant":
            content = []
        if not isinstance(content, list):
            raise _wrong("content is text or a list of parts", f"{where}.content")
        self.parts += len(content)
        if self.parts > self.limits.parts:
            raise _wrong(f"more than {self.limits.parts} parts", f"{where}.content")
        return Message(role, [self._part(p, f"{where}.content[{n}]") for n, p in enumerate(content)])  # type: ignore[arg-type]

    def _part(self, part: Any, where: str) -> Text | Media:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind == "text" and isinstance(part.get("text"), str):
            return Text(part["text"])
        if kind in _KINDS and isinstance(part.get(kind), Mapping) and isinstance(part[kind].get("url"), str):
            content, media_type = self._address(part[kind]["url"], where)
            return self.medium(content, media_type, _KINDS[kind], where)
        if kind == "input_audio" and isinstance(part.get("input_audio"), Mapping):
            sound = part["input_audio"]
            return self.medium(_decoded(sound.get("data"), where), f"audio/{sound.get('format')}", "audio", where)
        raise _wrong("no part of a known shape; parts are text, image_url, input_audio, video_url", where)

    def _address(self, url: str, where: str) -> tuple[bytes, str]:
        if found := _DATA.match(url):
            return _decoded(url[found.end() :], where), found["type"].lower()
        if url[:5].lower() == "data:":
            raise _wrong("a data: address needs a media type and base64", where)
        if not self.fetching:
            raise _wrong("addresses are not fetched here; send the medium as data:<type>;base64,...", where)
        return fetch(url, most_bytes=self.limits.medium_bytes, seconds=self.limits.fetch_seconds)

    def medium(self, content: bytes, media_type: str, modality: str, where: str) -> Media:
        """Open a medium that came as bytes.

        Args:
            content: The file's bytes.
            media_type: Such as ``image/png``.
            modality: What it is to be.
            where: Name of the part, for errors.

        Raises:
            anyloom.errors.AnyloomError: It is too large, of an unknown type, or cannot be read.
        """
        if self.takes is not None and modality not in self.takes:
            raise _wrong(f"the model takes no {modality}; it takes {', '.join(['text', *self.takes])}", where)
        self.media += 1
        if self.media > self.limits.media:
            raise _wrong(f"more than {self.limits.media} media", where)
        if len(content) > self.limits.medium_bytes:
            raise _wrong(f"{len(content):,} bytes are more than {self.limits.medium_bytes:,}", where)
        suffix = _SUFFIXES.get(media_type)
        if suffix is None:
            raise _wrong(f"the type {media_type!r:.60} is not read; use one of {', '.join(sorted(_SUFFIXES))}", where)
        isolation = Isolation(seconds=self.limits.open_seconds) if self.apart else None
        with tempfile.TemporaryDirectory(prefix="anyloom-") as folder:
            path = Path(folder, f"medium{suffix}")
            path.write_bytes(content)
            try:
                opened = read_media(path, modality, options=self._bounds(modality), isolation=isolation)
                data = opened.tensor()
            except Exception as error:
                raise _wrong(str(error).replace(str(path), "the medium"), where) from error
            meta = dict(opened.meta)
        self.numbers += data.numel()
        if self.numbers > self.limits.numbers:
            raise _wrong(f"media of more than {self.limits.numbers:,} numbers, once they are opened", where)
        key = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.originals[key] = (content, suffix)
        return Media(modality, data, key=key, meta=meta)

    def _bounds(self, modality: str) -> dict[str, Any] | None:
        """Options of the modality with which too large a medium is refused before all of it is opened."""
        pixels, seconds = max(self.limits.numbers // 3, 1), self.limits.seconds
        bounds: dict[str, dict[str, Any]] = {
            "image": {"max_pixels": pixels},
            "audio": {"max_seconds": seconds},
            "video": {"max_seconds": seconds, "max_pixels": pixels, "max_bytes": self.limits.numbers},
        }
        return bounds.get(modality)


def _decoded(text: Any, where: str) -> bytes:
    try:
        if not isinstance(text, str):
            raise ValueError
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise _wrong("the data are no base64", where) from error


def written(media: Media) -> tuple[bytes, str]:
    """The file of a medium as bytes, and its media type."""
    suffix, media_type = _WRITTEN[media.modality]
    with tempfile.TemporaryDirectory(prefix="anyloom-") as folder:
        return write_media(media, Path(folder, f"answer{suffix}")).read_bytes(), media_type


def data_address(media: Media) -> str:
    """A medium as a ``data:`` address."""
    content, media_type = written(media)
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def message_parts(message: Message, address: Callable[[Media], str] = data_address) -> list[dict[str, Any]]:
    """An answer as parts in order; media that no decoder made are left out.

    >>> message_parts(Message("assistant", "yes?"))
    [{'type': 'text', 'text': 'yes?'}]
    """
    return [p for s in message.segments if (p := _part_of(s, address)) is not None]


def _part_of(segment: Text | Media, address: Callable[[Media], str]) -> dict[str, Any] | None:
    if isinstance(segment, Text):
        return {"type": "text", "text": segment.text}
    if segment.modality not in _WRITTEN or not segment.has_data:
        return None
    url = address(segment)
    if segment.modality == "audio":
        return {"type": "input_audio", "input_audio": {"data": url.partition(",")[2], "format": "wav"}}
    kind = f"{segment.modality}_url"
    return {"type": kind, kind: {"url": url}}


def _wrong(what: str, where: str) -> ConversationError:
    return ConversationError(what, where=where)
