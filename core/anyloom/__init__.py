"""anyloom: a component framework for any-to-any multimodal language models.

The public names load on first use, so that ``import anyloom`` stays quick:

- :func:`components` lists what the installed plugins provide, :func:`build` makes one of them.
- :class:`AnyToAnyModel` is the model assembled from a config; it trains, generates, saves and loads.
- :class:`Conversation`, :class:`Message`, :class:`Media`, :class:`Text` are what goes in and comes out.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from anyloom.discovery import ComponentSpec, get_registry, hookimpl
from anyloom.errors import AnyloomError

if TYPE_CHECKING:
    from anyloom.building import build
    from anyloom.media import (
        Conversation,
        Media,
        Message,
        Text,
        conversation_from_json,
        read_media,
        sample,
        write_media,
    )
    from anyloom.model.model import AnyToAnyModel

__version__ = "0.1.0"

__all__ = [
    "AnyToAnyModel",
    "AnyloomError",
    "ComponentSpec",
    "Conversation",
    "Media",
    "Message",
    "Text",
    "build",
    "components",
    "conversation_from_json",
    "hookimpl",
    "read_media",
    "sample",
    "write_media",
]

_HOMES = {
    "AnyToAnyModel": "anyloom.model.model",
    "Conversation": "anyloom.media",
    "Media": "anyloom.media",
    "Message": "anyloom.media",
    "Text": "anyloom.media",
    "build": "anyloom.building",
    "conversation_from_json": "anyloom.media",
    "read_media": "anyloom.media",
    "sample": "anyloom.media",
    "write_media": "anyloom.media",
}


def components(kind: str | None = None) -> list[ComponentSpec]:
    """Return the records of all installed components, or of one kind."""
    return get_registry().components(kind)


def __dir__() -> list[str]:
    return sorted({*__all__, "__all__", "__doc__", "__version__"})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
