"""Tables of options, from the schema of a pydantic class and the descriptions in its docstrings."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

from anyloom.json_schema.descriptions import plain
from anyloom.json_schema.options import described_schema, kind_of

__all__ = ["option_tables"]

_LIMITS = {"exclusiveMinimum": "above", "minimum": "at least", "exclusiveMaximum": "below", "maximum": "at most"}


def option_tables(title: str, config: type[BaseModel], level: int, *, prefix: str = "") -> str:
    """A table of the options, and one for each class of options inside them.

    Args:
        title: Heading; none if empty.
        config: The class.
        level: Depth of the headings.
        prefix: Stands before the names of inner classes, so that headings on a page differ.
    """
    schema = described_schema(config)
    inner: dict[str, Any] = schema.get("$defs", {})
    text = [f"{'#' * level} {title}\n"] if title else []
    about = plain(str(schema.get("description", ""))).partition("\nArgs:")[0].strip()
    text += [about.partition("\n")[0] + "\n"] if title and about else []
    text.append(_table(schema))
    for name, part in inner.items():
        if "properties" in part:
            text.append(f"{'#' * (level + 1)} {prefix}{': ' if prefix else ''}{name}\n")
            text.append(plain(str(part.get("description", ""))).partition("\n")[0] + "\n")
            text.append(_table(part))
    return "\n".join(text)


def _table(schema: dict[str, Any]) -> str:
    rows = ["| option | takes | default | |", "|---|---|---|---|"]
    required = schema.get("required", ())
    for name, option in schema.get("properties", {}).items():
        default = "**required**" if name in required else _default(option)
        rows.append(f"| `{name}` | {_type(option, name)} | {default} | {_cell(option.get('description', ''))} |")
    return ("\n".join(rows) if len(rows) > 2 else "No options.") + "\n"


def _default(option: dict[str, Any]) -> str:
    value = option.get("default")
    if value in (None, {}, []):
        return ""
    return "see below" if "$ref" in option else _cell(f"`{json.dumps(value)}`")


def _type(option: Any, name: str = "") -> str:
    """What an option takes, in words."""
    if not isinstance(option, dict):
        return "anything"
    if "$ref" in option:
        return option["$ref"].rpartition("/")[2]
    if "const" in option or "enum" in option:
        return _cell(", ".join(f"`{v}`" for v in option.get("enum", [option.get("const")])))
    for word in ("anyOf", "oneOf", "allOf"):
        if word in option:
            kinds = [_type(branch, name) for branch in option[word] if branch.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    kind = option.get("type")
    if kind == "array":
        items = option.get("prefixItems") or [option.get("items")]
        return "list of " + ", ".join(dict.fromkeys(_type(i) for i in items))
    if kind == "object":
        extra = option.get("additionalProperties")
        if component := kind_of(name):
            return f"{'an' if component[0] in 'aeiouyl' else 'a'} {component}"
        inner = _type(extra, name.removesuffix("s")) if isinstance(extra, dict) else "values"
        return f"{inner} by name"
    limits = [f"{text} {option[word]:g}" for word, text in _LIMITS.items() if word in option]
    words = {"integer": "whole number", "boolean": "true or false", "string": "text"}
    return " ".join([words.get(str(kind), str(kind or "anything")), *limits])


def _cell(text: str) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")
