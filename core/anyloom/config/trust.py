"""Which configurations may name code.

A config that a user writes may: ``class_path`` and dotted names are imported. A saved model may not, unless who loads
it says ``trust=True``; nor may a stranger's config that is opened with ``--safe``. Both are looked through here, before
anything is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from anyloom.discovery import KINDS, get_registry
from anyloom.discovery.targets import is_class_path
from anyloom.errors import AnyloomError, ConfigError, combine

__all__ = ["require_names", "require_safe"]

_NUMBER: Final = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?")


def require_names(value: Any, key: str, *, error: type[AnyloomError], fix: str) -> None:
    """Raise unless every component in a value is named by a registered name.

    Args:
        value: Sections, or a part of them.
        key: Where it stands, for errors.
        error: What to raise.
        fix: What the user can do about it.

    >>> require_names({"llm": {"name": "llama"}}, "model", error=ConfigError, fix="use names")
    >>> try:
    ...     require_names({"llm": {"class_path": "os.system"}}, "model", error=ConfigError, fix="use names")
    ... except ConfigError as error:
    ...     print(error)
    model.llm.class_path: names code to import: 'os.system'. To fix: use names
    """
    found = [error(f"names code to import: {path!r}", where=where, fix=fix) for where, path in _class_paths(value, key)]
    if found:
        raise combine(found)


def require_safe(sections: Mapping[str, Any]) -> None:
    """Raise if a composed config names code anywhere; see :func:`require_names`.

    lightning would import what a dotted text in ``trainer`` names, and read a file that it names as a config.

    Raises:
        anyloom.errors.ConfigError: Names each key.

    >>> try:
    ...     require_safe({"trainer": {"logger": {"class_path": "a.B"}}})
    ... except ConfigError as error:
    ...     print(error.where)
    trainer.logger.class_path
    """
    fix = "use registered names, or leave --safe out if you trust who wrote it"
    require_names(sections, "", error=ConfigError, fix=fix)
    trainer = sections.get("trainer")
    for key, value in trainer.items() if isinstance(trainer, Mapping) else ():
        for text in value if isinstance(value, list) else [value]:
            risky = isinstance(text, str) and re.search(r"[./\\]", text) and not _NUMBER.fullmatch(text)
            if risky and key != "default_root_dir":
                raise ConfigError(f"{text!r} may name code or a file", where=f"trainer.{key}", fix=fix)


def _class_paths(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Keys and class paths among nested values. A dotted ``name`` that a plugin has registered is a name."""
    if isinstance(value, Mapping):
        if "class_path" in value:
            yield _under(key, "class_path"), str(value["class_path"])
        name = value.get("name")
        if isinstance(name, str) and is_class_path(name) and not any(get_registry().provides(k, name) for k in KINDS):
            yield _under(key, "name"), name
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for inner, item in pairs:
        yield from _class_paths(item, _under(key, str(inner)))


def _under(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
