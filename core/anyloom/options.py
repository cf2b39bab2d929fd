"""Checks plain options against a component's Config and says in one line what is wrong and where."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from anyloom.errors import AnyloomError, ConfigError, combine, nearest

__all__ = ["Section", "WrongOptionsError", "checked_path", "split_name", "validate"]

ConfigT = TypeVar("ConfigT", bound=BaseModel)

_LONGEST_NAME = 255  # bytes, in the file systems there are


class Section(BaseModel):
    """Base of what a config holds: frozen; an unknown key, a NaN, an infinity or a yes for a number is an error.

    >>> class Sizes(Section):
    ...     layers: int = 2
    >>> try:
    ...     validate(Sizes, {"layer": 3}, where="model.llm")
    ... except ConfigError as error:
    ...     print(error.where)
    model.llm.layer
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _count_no_answers(cls, given: Any) -> Any:
        """True is 1 to pydantic, so that ``batch_size=yes`` would be a batch of one."""
        if isinstance(given, Mapping):
            answers = {n: v for n, v in given.items() if isinstance(v, bool) and n in cls.model_fields}
            wrong = {n: v for n, v in answers.items() if _is_number(cls.model_fields[n].annotation)}
            if wrong:
                raise WrongOptionsError({n: f"expected a number, got {v}" for n, v in wrong.items()})
        return given


class WrongOptionsError(ValueError):
    """For a Config's own validators that look at several options at once: each problem with its key.

    Args:
        problems: What is wrong, by dotted key inside the Config.

    >>> print(WrongOptionsError({"size": "must be even"}))
    size: must be even
    """

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        super().__init__("; ".join(f"{key}: {what}" for key, what in problems.items()))


def _is_number(annotation: Any) -> bool:
    """Whether a field holds numbers, or nothing, and neither yes nor no.

    >>> [_is_number(kind) for kind in (int, float | None, typing.Annotated[int, "steps"], bool, int | bool, Any)]
    [True, True, True, False, False, False]
    """
    kinds = set(_kinds(annotation))
    return bool(kinds & {int, float}) and kinds <= {int, float, str, type(None)}


def _kinds(annotation: Any) -> Iterator[Any]:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        for kind in typing.get_args(annotation):
            yield from _kinds(kind)
    elif origin is typing.Annotated:
        yield from _kinds(typing.get_args(annotation)[0])
    else:
        yield annotation


def validate(config: type[ConfigT], options: Mapping[str, Any], *, where: str) -> ConfigT:
    """Return ``config(**options)``.

    Args:
        config: A pydantic class.
        options: Plain values, as read from YAML.
        where: YAML key of the options, to begin messages with.

    Raises:
        anyloom.errors.ConfigError: One line per problem, each with its full key; an unknown key is answered with
            the nearest valid one.

    >>> class Sizes(BaseModel, extra="forbid"):
    ...     layers: int = 2
    >>> validate(Sizes, {"layers": 4}, where="model.llm").layers
    4
    >>> try:
    ...     validate(Sizes, {"layer": 4}, where="model.llm")
    ... except ConfigError as error:
    ...     print(error)
    model.llm.layer: there is no option 'layer' here. To fix: did you mean 'layers'?
    """
    if not isinstance(options, Mapping):
        raise ConfigError(f"expected options by name, got {options!r}", where=where)
    try:
        return config.model_validate(dict(options))
    except ValidationError as error:
        found = [p for e in error.errors(include_url=False) for p in _problems(config, dict(e), options, where)]
    raise combine(_one_per_key(found))


def _problems(
    config: type[BaseModel], problem: dict[str, Any], options: Mapping[str, Any], where: str
) -> Iterator[ConfigError]:
    location = _location(problem["loc"], options, added=problem["type"] == "missing")
    key = ".".join(p for p in (where, *location) if p)
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, WrongOptionsError):
        for inner, what in cause.problems.items():
            yield ConfigError(what, where=f"{key}.{inner}" if key else inner)
    elif problem["type"] == "extra_forbidden":
        known = _fields(config, location[:-1])
        hint = nearest(location[-1], known) or (
            f"known options: {', '.join(sorted(known))}" if known else "take it out: there are none"
        )
        yield ConfigError(f"there is no option {location[-1]!r} here", where=key, fix=hint)
    elif problem["type"] == "missing":
        yield ConfigError("this option is required", where=key, fix="give it a value")
    elif problem["type"] == "dict_type":
        given = problem["input"]
        component = isinstance(given, str) and given and key.split(".")[0] in ("model", "module", "data", "baseline")
        fix = f"write {{name: {given}}} for a component" if component else "give a mapping of names to values"
        yield ConfigError(f"expected options by name, got {given!r}", where=key, fix=fix)
    else:
        message = str(problem["msg"]).removeprefix("Value error, ")
        got = "" if isinstance(problem["input"], Mapping | BaseModel) else f", got {problem['input']!r}"
        yield ConfigError(message + got, where=key)


def _location(parts: Sequence[int | str], options: Any, *, added: bool) -> list[str]:
    """The part of a pydantic location that the user wrote; tags of unions' branches are left out."""
    location: list[str] = []
    for index, part in enumerate(parts):
        inside = range(len(options)) if isinstance(options, Sequence) else options
        if isinstance(inside, Mapping | range) and part in inside:
            options = options[part]
        elif not (added and index == len(parts) - 1):
            continue
        location.append(str(part))
    return location


def _one_per_key(problems: list[ConfigError]) -> list[ConfigError]:
    """Join what the branches of a union say about one value."""
    by_key: dict[str, list[ConfigError]] = {}
    for problem in problems:
        by_key.setdefault(problem.where, []).append(problem)
    return [
        same[0] if len(same) == 1 else ConfigError(", or ".join(p.what for p in same), where=key, fix=same[0].fix)
        for key, same in by_key.items()
    ]


def _fields(config: type[BaseModel], location: list[str]) -> list[str]:
    """Names of the fields at a nested location, following annotations as far as they hold models."""
    models = [config]
    for part in location:
        inner = [m for c in models for m in _models(c, part)]
        models = inner or models
    return sorted({name for model in models for name in model.model_fields})


def _models(config: type[BaseModel], part: str) -> Iterator[type[BaseModel]]:
    """The models inside a field's annotation: itself, branches of a union, values of a container."""
    field = config.model_fields.get(part)
    waiting: list[Any] = [field.annotation] if field else []
    while waiting:
        annotation = waiting.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        waiting += typing.get_args(annotation)


def split_name(options: Any, *, where: str) -> tuple[str, dict[str, Any]]:
    """Split ``{name: x, **options}`` (or ``{class_path: a.b.C, ...}``, or a bare name) into name and options.

    Raises:
        anyloom.errors.ConfigError: There is neither a name nor a class path.

    >>> split_name({"name": "mlp", "hidden": 64}, where="model.projectors.p")
    ('mlp', {'hidden': 64})
    >>> split_name("mlp", where="model.projectors.p")
    ('mlp', {})
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


def checked_path(path: Any, *, error: type[AnyloomError] = ConfigError, where: str = "", what: str = "file") -> Path:
    """Return what a caller gave as a path.

    Args:
        path: Text or a path; not empty, without NUL, no part longer than a name can be.
        error: What to raise.
        where: Of the error.
        what: What should lie there.

    Raises:
        anyloom.errors.AnyloomError: It is no path; of the class ``error``.

    >>> checked_path("runs/mini").name
    'mini'
    """
    if not isinstance(path, str | Path) or not str(path) or "\0" in str(path):
        raise error(f"expected the path of a {what}, got {path!r:.100}", where=where, fix="give text or a Path")
    if any(len(part.encode(errors="surrogatepass")) > _LONGEST_NAME for part in Path(path).parts):
        what = f"no {what} can have a name of more than {_LONGEST_NAME} bytes"
        raise error(what, where=where or f"{str(path)[:100]}...", fix="check the path")
    return Path(path)
