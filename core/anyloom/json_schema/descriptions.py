"""What docstrings say about options: the entries of their ``Args:`` sections."""

from __future__ import annotations

import inspect
import re

from pydantic import BaseModel

__all__ = ["argument_descriptions", "option_descriptions", "plain"]

_ENTRY = re.compile(r"    (\w+)(?: \([^)]*\))?: (.*)")


def option_descriptions(config: type[BaseModel]) -> dict[str, str]:
    """Descriptions of a Config's options by name, from its own docstring and those of its bases."""
    found: dict[str, str] = {}
    for cls in reversed(config.__mro__):
        if issubclass(cls, BaseModel) and cls is not BaseModel:
            found |= argument_descriptions(cls.__dict__.get("__doc__") or "")
    return {name: found[name] for name in config.model_fields if name in found}


def argument_descriptions(docstring: str) -> dict[str, str]:
    """Entries of the ``Args:`` section of a Google docstring, each in one line.

    >>> argument_descriptions("Sizes.\\n\\nArgs:\\n    width: Of ``x``,\\n        in pixels.\\n\\nRaises: nothing.")
    {'width': 'Of `x`, in pixels.'}
    """
    found: dict[str, str] = {}
    name, inside = "", False
    for line in inspect.cleandoc(docstring).splitlines():
        if line.strip() and not line.startswith(" "):
            inside = line.strip() == "Args:"
        elif inside and (entry := _ENTRY.fullmatch(line)):
            name = entry[1]
            found[name] = entry[2].strip()
        elif inside and name and line.strip():
            found[name] += " " + line.strip()
    return {key: plain(text) for key, text in found.items()}


def plain(text: str) -> str:
    """Markdown for the reStructuredText of a docstring.

    >>> plain("see :class:`anyloom.Media`, ``x``")
    'see `anyloom.Media`, `x`'
    """
    return re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text).replace("``", "`")
