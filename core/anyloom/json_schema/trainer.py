"""The ``trainer:`` section: the arguments of ``lightning.Trainer``, as far as their types are plain ones."""

from __future__ import annotations

import inspect
import types
import typing
from typing import Any, Final

import lightning

from anyloom.json_schema.descriptions import argument_descriptions
from anyloom.json_schema.options import with_interpolation

__all__ = ["trainer_definition"]

_PLAIN: Final[dict[Any, str]] = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def trainer_definition() -> dict[str, Any]:
    """Definition of the section. Arguments of other types than plain ones (callbacks, loggers) take anything.

    >>> "max_steps" in trainer_definition()["properties"]
    True
    """
    hints = typing.get_type_hints(lightning.Trainer.__init__)
    texts = argument_descriptions(lightning.Trainer.__init__.__doc__ or "")
    properties: dict[str, Any] = {}
    for name in inspect.signature(lightning.Trainer.__init__).parameters:
        if name != "self":
            note = {"description": texts[name]} if name in texts else {}
            properties[name] = {**note, **with_interpolation(_schema(hints.get(name, Any)))}
    return {
        "type": "object",
        "description": "Options of lightning.Trainer",
        "properties": properties,
        "additionalProperties": False,
    }


def _schema(hint: Any) -> dict[str, Any]:
    """The schema of a type; ``{}`` for one that is not plain."""
    if hint in _PLAIN:
        return {"type": _PLAIN[hint]}
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return {"enum": list(inner)}
    if origin in (typing.Union, types.UnionType):
        branches = [_schema(branch) for branch in inner]
        return {"anyOf": branches} if all(branches) else {}
    if origin is list:
        items = _schema(inner[0])
        return {"type": "array", "items": items} if items else {}
    return {}
