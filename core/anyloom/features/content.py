"""Names for what media hold: equal for equal content, in every process and every run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import torch
from torch import Tensor

from anyloom.conversation.segments import Media

__all__ = ["content_name", "tensor_digest"]

_REMEMBERED = 1 << 18
_names: dict[tuple[str, str, str], str] = {}


def content_name(media: Media) -> str:
    """Hex SHA-256 of what encoders may read of a medium: its content, caption and numbers.

    A loader with a method ``content()`` says itself what it would load, which spares opening the medium: media files
    and pieces of archives give the SHA-256 of their bytes. Other media are opened; of those with a key the name is
    remembered in this process, as media of equal key have equal content.

    Raises:
        anyloom.errors.MediaError: The medium cannot be read.

    >>> a, b = (Media("picture", torch.full((1,), v)) for v in (0.0, 1.0))
    >>> content_name(a) == content_name(b), content_name(a) == content_name(Media("picture", torch.zeros(1)))
    (False, True)
    """
    content: Callable[[], str] | None = getattr(media.loader, "content", None)
    if media.data is None and content is not None:
        return _digest(media.modality, media.caption, content())
    if media.data is None and media.key:
        return _remembered(media)
    return _opened(media)


def tensor_digest(tensor: Tensor) -> str:
    """Hex SHA-256 of a tensor's type, shape and values; a sharded one is put together by every process.

    >>> digest = tensor_digest(torch.ones(2))
    >>> digest == tensor_digest(torch.ones(2)), digest == tensor_digest(torch.ones(1, 2))
    (True, False)
    """
    whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    values = whole.detach().cpu().contiguous()
    found = hashlib.sha256(f"{values.dtype} {tuple(values.shape)}".encode())
    found.update(values.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def _remembered(media: Media) -> str:
    known = (media.modality, media.key, media.caption)
    if known not in _names:
        if len(_names) >= _REMEMBERED:
            _names.clear()
        _names[known] = _opened(media)
    return _names[known]


def _opened(media: Media) -> str:
    numbers = sorted((name, float(value)) for name, value in media.meta.items())
    return _digest(media.modality, media.caption, json.dumps(numbers), tensor_digest(media.tensor()))


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
