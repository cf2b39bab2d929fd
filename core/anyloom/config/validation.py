"""Checks plain options against a component's Config and says in one line what is wrong and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from anyloom.errors import ConfigError, nearest

__all__ = ["split_name", "validate"]

ConfigT = TypeVar("ConfigT", bound=BaseModel)


def validate(config: type[ConfigT], options: Mapping[str, Any], *, where: str) -> ConfigT:
    """Return ``config(**options)``.

    Args:
        config: A pydantic class.
        options: Plain values, as read from YAML.
        where: YAML key of the options, to begin messages with.

    Raises:
        anyloom.errors.ConfigError: One line per problem, each with its full key; an unknown key is answered with
            the nearest valid one.
    """
    try:
        return config.model_validate(dict(options))
    except ValidationError as error:
        problems = [_problem(config, dict(p), where) for p in error.errors(include_url=False)]
    if len(problems) == 1:
        raise problems[0]
    raise ConfigError("\n".join(str(p) for p in problems))


def _problem(config: type[BaseModel], problem: dict[str, Any], where: str) -> ConfigError:
    location = [str(p) for p in problem["loc"]]
    key = ".".join([where, *location]) if where else ".".join(location)
    if problem["type"] == "extra_forbidden":
        known = _fields(config, location[:-1])
        return ConfigError(
            f"there is no option {location[-1]!r} here",
            where=key,
            fix=nearest(location[-1], known) or f"known options: {', '.join(sorted(known))}",
        )
    if problem["type"] == "missing":
        return ConfigError("this option is required", where=key, fix="give it a value")
    message = str(problem["msg"]).removeprefix("Value error, ")
    return ConfigError(f"{message}, got {problem['input']!r}", where=key)


def _fields(config: type[BaseModel], location: list[str]) -> list[str]:
    """Names of the fields at a nested location, following annotations as far as they are models."""
    for part in location:
        field = config.model_fields.get(part)
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        config = inner
    return list(config.model_fields)


def split_name(options: Any, *, where: str) -> tuple[str, dict[str, Any]]:
    """Split ``{name: x, **options}`` (or ``{class_path: a.b.C, ...}``, or a bare name) into name and options.

    Raises:
        anyloom.errors.ConfigError: There is neither a name nor a class path.
    """
    if isinstance(options, str):
        return options, {}
    if not isinstance(options, Mapping):
        raise ConfigError(f"expected a component ({{name: ..., options}}), got {options!r}", where=where)
    rest = dict(options)
    name = rest.pop("name", None) or rest.pop("class_path", None)
    if not isinstance(name, str):
        raise ConfigError("a component needs a 'name'", where=where, fix="see 'anyloom plugins' for the names")
    return name, {str(k): v for k, v in rest.items()}
