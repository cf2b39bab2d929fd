"""From a name and options to a component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyloom.config.validation import split_name, validate
from anyloom.discovery import get_registry

__all__ = ["build", "build_named"]


def build(kind: str, name: str, options: Mapping[str, Any] | None = None, /, *, where: str = "", **more: Any) -> Any:
    """Build the component that a plugin registered under a name.

    Args:
        kind: Kind of component, one of :data:`anyloom.discovery.KINDS`.
        name: Registered name, or a dotted class path.
        options: The component's options, validated by its ``Config``.
        where: YAML key for error messages; defaults to kind and name.
        more: Further constructor arguments that the kind takes (a projector's widths).

    Raises:
        anyloom.errors.UnknownNameError: No plugin provides the name.
        anyloom.errors.ConfigError: An option is unknown or wrong.

    >>> build("projector", "mlp", {"hidden_dim": 8}, in_dim=4, out_dim=6).out_dim
    6
    """
    cls = get_registry().load(kind, name, where=where)
    return cls(validate(cls.Config, options or {}, where=where or f"{kind} {name!r}"), **more)


def build_named(kind: str, options: Any, /, *, where: str, **more: Any) -> Any:
    """Build from a config's ``{name: ..., **options}``; see :func:`build`."""
    name, rest = split_name(options, where=where)
    return build(kind, name, rest, where=where, **more)
