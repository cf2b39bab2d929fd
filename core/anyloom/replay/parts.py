"""Segments of messages as JSON that loses nothing: media by content hash, tokens and features beside them.

The parts are those of :mod:`anyloom.media.chat_json` with what a model needs to read its own answers again::

    {"type": "text", "text": "Here it is.", "tokens": [17, 4]}
    {"type": "scan", "path": "media/3fc9b689459d738f.scan", "sha256": "3fc9...", "features": {...}, "space": "hand"}

``sha256`` of a medium that was given is that of its file; of one that was made, that of its numbers
(:func:`content_hash`), whatever file they were written to.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from anyloom.conversation.segments import Media, Message, Segment, Text
from anyloom.errors import ConversationError
from anyloom.media.chat_json import conversation_from_json
from anyloom.media.files import io_for
from anyloom.storage.hashes import sha256

__all__ = ["NAME", "content_hash", "given_parts", "made_parts", "read_message", "tensor_from_json", "tensor_to_json"]

NAME: Final = 16
"""How many characters of a hash a file is named by."""

_MOST_NUMBERS: Final = 10_000_000
_MOST_TOKENS: Final = 1_000_000


def content_hash(media: Media) -> str:
    """SHA-256 of a medium's numbers: type, shape, values, rates.

    >>> a, b = Media("picture", torch.zeros(3, 2, 2)), Media("picture", torch.zeros(3, 2, 2), path="a.png")
    >>> content_hash(a) == content_hash(b) != content_hash(Media("picture", torch.zeros(3, 4, 1)))
    True
    """
    data = media.tensor().detach().cpu().contiguous()
    numbers = ", ".join(f"{key}={value!r}" for key, value in sorted(media.meta.items()))
    digest = hashlib.sha256(f"{media.modality} {data.dtype} {tuple(data.shape)} {numbers}\n".encode())
    digest.update(data.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def given_parts(segments: Sequence[Segment]) -> tuple[list[dict[str, Any]], dict[str, Media]]:
    """The parts of a message that was given, and the media that its files hold by path.

    Raises:
        anyloom.errors.AnyloomError: A medium's file cannot be read.

    >>> given_parts(Message("user", "hello").segments)
    ([{'type': 'text', 'text': 'hello'}], {})
    """
    return _parts(segments, _given)


def made_parts(segments: Sequence[Segment]) -> tuple[list[dict[str, Any]], dict[str, Media]]:
    """The parts of a message that a model made, and the media that its files are to hold by path.

    >>> made_parts(Message("assistant", "yes?").segments)
    ([{'type': 'text', 'text': 'yes?'}], {})
    """
    return _parts(segments, _made)


def _parts(segments: Sequence[Segment], name: Any) -> tuple[list[dict[str, Any]], dict[str, Media]]:
    parts: list[dict[str, Any]] = []
    media: dict[str, Media] = {}
    for segment in segments:
        if isinstance(segment, Text):
            tokens = {} if segment.tokens is None else {"tokens": list(segment.tokens)}
            parts.append({"type": "text", "text": segment.text, **tokens})
            continue
        part: dict[str, Any] = {"type": segment.modality}
        inline = io_for(segment.modality).to_text(segment) if segment.has_data else None
        if inline is not None:
            part["text"] = inline
        elif segment.has_data:
            digest, suffix = name(segment)
            part |= {"path": f"media/{digest[:NAME]}{suffix}", "sha256": digest}
            media[part["path"]] = segment
        part |= {key: value for key in ("caption", "space") if (value := getattr(segment, key))}
        if segment.reference is not None:
            part["reference"] = segment.reference
        if segment.features is not None:
            part["features"] = tensor_to_json(segment.features)
        parts.append(part)
    return parts, media


def _given(media: Media) -> tuple[str, str]:
    if media.path:
        return sha256(Path(media.path)), Path(media.path).suffix.lower()
    return _made(media)


def _made(media: Media) -> tuple[str, str]:
    return content_hash(media), io_for(media.modality).suffixes[0]


def read_message(role: str, parts: Sequence[Mapping[str, Any]], root: Path, where: str) -> Message:
    """Return the message of some parts; media are opened when they are asked for.

    Args:
        role: Who said it.
        parts: As this module writes them; they may come from anybody.
        root: The folder that paths start from, and stay in.
        where: Name of the source, for errors.

    Raises:
        anyloom.errors.AnyloomError: A part has the wrong shape, leaves the root, or its file is missing or another.

    >>> read_message("user", [{"type": "text", "text": "hello"}], Path(), "session.json").text
    'hello'
    """
    return Message(role, [_segment(part, root, f"{where}[{n}]") for n, part in enumerate(parts)])  # type: ignore[arg-type]


def _segment(part: Mapping[str, Any], root: Path, where: str) -> Segment:
    if not isinstance(part, Mapping):
        raise ConversationError(f"not a part: {part!r:.100}", where=where)
    if part.get("type") != "text" and "path" not in part and "text" not in part:
        media = Media(str(part.get("type")))
        io_for(media.modality)  # names a modality, or says that it does not
    else:
        read = conversation_from_json([{"role": "user", "content": [dict(part)]}], root=root, where=where)
        (segment,) = read.messages[0].segments
        if isinstance(segment, Text):
            return Text(segment.text, _tokens(part.get("tokens"), where))
        media = segment
        if part.get("sha256") and media.path and part.get("features") is None:
            _require_same(Path(media.path), str(part["sha256"]), where)
    features = tensor_from_json(part["features"], where) if "features" in part else None
    return replace(media, features=features, space=str(part.get("space", "")))


def _require_same(path: Path, digest: str, where: str) -> None:
    """A medium that was given must still be the one that it was."""
    if sha256(path) == digest:
        return
    raise ConversationError(
        f"{path.name} is another file than it was (its SHA-256 differs)", where=where, fix="put the old one back"
    )


def _tokens(value: Any, where: str) -> tuple[int, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > _MOST_TOKENS or not all(type(v) is int and v >= 0 for v in value):
        raise ConversationError("tokens must be a list of ids", where=where, fix="take the record as it was written")
    return tuple(value)


def tensor_to_json(tensor: Tensor) -> dict[str, Any]:
    """A tensor ``(...)`` of up to four dimensions as float32 in JSON, exact.

    >>> tensor_to_json(torch.tensor([1.0, 0.5]))
    {'shape': [2], 'float32': 'AACAPwAAAD8='}
    """
    data = tensor.detach().float().cpu().contiguous().numpy().astype("<f4")
    return {"shape": list(data.shape), "float32": base64.b64encode(data.tobytes()).decode()}


def tensor_from_json(value: Any, where: str) -> Tensor:
    """The tensor of :func:`tensor_to_json`.

    Raises:
        anyloom.errors.ConversationError: It is none, too large, or holds a number that is not finite.
    """
    try:
        shape = [int(size) for size in value["shape"]]
        if min(shape, default=1) < 1 or len(shape) > 4 or math.prod(shape) > _MOST_NUMBERS:
            raise ValueError("size")
        numbers = np.frombuffer(base64.b64decode(value["float32"], validate=True), dtype="<f4").reshape(shape)
        if not np.isfinite(numbers).all():
            raise ValueError("not finite")
    except (KeyError, TypeError, ValueError) as error:
        fix = "take the record as it was written"
        raise ConversationError(f"features are no tensor ({error})", where=where, fix=fix) from error
    return torch.from_numpy(numbers.astype(np.float32))
