"""``${...}`` in configs: values of other keys, folders of plugins, environment variables. Bounded in depth and size."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final

from anyloom.config.packages import package_folder
from anyloom.config.yaml_text import FromEnvironment, parse_yaml
from anyloom.errors import ConfigError, nearest
from anyloom.limits import limit

__all__ = ["resolve", "resolve_packages"]

_COST: Final = 10
_SPECIAL: Final = re.compile(r"\\\$\{|\$\{|\}")
_RESOLVERS: Final = ("package", "oc.env")

Key = tuple[str, ...]


def resolve(sections: Mapping[str, Any], *, safe: bool = False) -> dict[str, Any]:
    """Return the sections with every expression replaced by its value.

    ``${a.b.0}`` is the value at that key, ``${.b}`` a neighbour of the key where it stands, ``${..b}`` one level up.
    ``${package:x}`` is the folder of the package of a plugin. ``${oc.env:X}`` and ``${oc.env:X,default}`` read the
    environment. Expressions may stand within each other; ``\\${`` is a plain ``${``.

    Args:
        sections: The merged config.
        safe: Refuse to read the environment.

    Raises:
        anyloom.errors.ConfigError: An expression does not resolve, leads back to itself, or makes the config larger
            than ``config-size`` (:mod:`anyloom.limits`); names its key.

    >>> resolve({"variables": {"run": "runs/a"}, "result": "${variables.run}/model"})["result"]
    'runs/a/model'
    """
    resolver = _Resolver(sections, safe=safe)
    whole, _ = resolver.value(sections, ())
    return _copied(whole)  # type: ignore[no-any-return]


def resolve_packages(text: str, *, where: str) -> str:
    """Return a text with its ``${package:...}`` expressions resolved; there are no keys to refer to yet."""
    try:
        value, _ = _Resolver({}, safe=True).value(text, (where,))
    except ConfigError as error:
        raise ConfigError(error.what, where=where, fix="only ${package:...} can stand here") from error
    return str(value)


class _Resolver:
    """Resolves one config. Each key is resolved once; what it took is counted each time that it is used."""

    def __init__(self, root: Mapping[str, Any], *, safe: bool) -> None:
        self.root, self.safe = root, safe
        self.most, self.deepest = limit("config-size"), limit("config-depth")
        self.done: dict[Key, tuple[Any, int]] = {}
        self.active: list[Key] = []

    def value(self, raw: Any, key: Key) -> tuple[Any, int]:
        """The resolved value of what stands at a key, and its size when everything is written out."""
        if key in self.done:
            return self.done[key]
        if key in self.active:
            raise self._error("the expression leads back to itself", key)
        if len(self.active) >= (self.deepest + 16):
            raise self._error(f"values refer to each other through more than {(self.deepest + 16)} levels", key)
        self.active.append(key)
        found: Any = raw
        size = _COST
        if isinstance(raw, Mapping):
            inner = {k: self.value(v, (*key, str(k))) for k, v in raw.items()}
            found = {k: v for k, (v, _) in inner.items()}
            size += sum(s + len(str(k)) for k, (_, s) in inner.items())
        elif isinstance(raw, list):
            items = [self.value(v, (*key, str(i))) for i, v in enumerate(raw)]
            found, size = [v for v, _ in items], size + sum(s for _, s in items)
        elif isinstance(raw, str):
            found, size = self._text(raw, key)
        if size > self.most:
            raise self._error("the config is too large with its expressions written out", key)
        self.active.pop()
        self.done[key] = found, size
        return found, size

    def _text(self, text: str, key: Key) -> tuple[Any, int]:
        """A text as it is, or the value of its expressions."""
        if "${" not in text:
            return text, _COST + len(text)
        parts, end = self._parts(text, 0, key, depth=0)
        assert end == len(text)
        value, size = self._joined(parts, key)
        if isinstance(value, FromEnvironment):
            value = FromEnvironment(value, text)
        return value, size

    def _parts(self, text: str, start: int, key: Key, *, depth: int) -> tuple[list[tuple[Any, int]], int]:
        """Values of the pieces of a text from ``start`` to its end or, inside an expression, to its ``}``."""
        if depth > self.deepest // 4:
            raise self._error("expressions are nested too deeply", key)
        parts: list[tuple[Any, int]] = []
        while special := _SPECIAL.search(text, start):
            parts += _plain(text[start : special.start()])
            start = special.end()
            if special[0] == "\\${":
                parts += _plain("${")
            elif special[0] == "${":
                inner, start = self._parts(text, start, key, depth=depth + 1)
                body, _ = self._joined(inner, key)
                parts.append(self._expression(str(body), key))
                if isinstance(body, FromEnvironment):
                    parts += [(FromEnvironment("", ""), 0)]  # what an environment variable chose is its value as well
            elif depth:
                return parts, start
            else:
                parts += _plain("}")
        if depth:
            raise self._error(f"'${{' without '}}' in {_short(text)!r}", key)
        return [*parts, *_plain(text[start:])], len(text)

    def _joined(self, parts: list[tuple[Any, int]], key: Key) -> tuple[Any, int]:
        """One value as it is, several as one text."""
        if len(parts) == 1:
            return parts[0]
        if (size := _COST + sum(s for _, s in parts)) > self.most:
            raise self._error("the config is too large with its expressions written out", key)
        if any(isinstance(v, dict | list) for v, _ in parts):
            raise self._error("a mapping or list cannot be a part of a text", key)
        text = "".join(str(v) for v, _ in parts)
        return (FromEnvironment(text, text) if any(isinstance(v, FromEnvironment) for v, _ in parts) else text), size

    def _expression(self, body: str, key: Key) -> tuple[Any, int]:
        name, colon, argument = body.partition(":")
        if not colon:
            return self._reference(body.strip(), key)
        if name.strip() == "package":
            folder = str(package_folder(argument.strip(), where=".".join(key)))
            return folder, _COST + len(folder)
        if name.strip() == "oc.env":
            return self._environment(argument, key)
        fix = nearest(name, _RESOLVERS) or "${a.b}, ${package:x} and ${oc.env:X} can be used"
        raise self._error(f"there is no '${{{_short(name)}:...}}'", key, fix)

    def _environment(self, argument: str, key: Key) -> tuple[Any, int]:
        name, comma, default = argument.partition(",")
        name = name.strip()
        if self.safe:
            raise self._error("a safe config reads no environment", key, "write the value, or leave --safe out")
        if name in os.environ:
            value = os.environ[name]
            return FromEnvironment(value, f"${{oc.env:{name}}}"), _COST + len(value)
        if not comma:
            raise self._error(f"the environment has no {name!r}", key, f"set it, or write ${{oc.env:{name},default}}")
        return parse_yaml(default.strip(), where=".".join(key)), _COST + len(default)

    def _reference(self, text: str, key: Key) -> tuple[Any, int]:
        """The value at another key; what stands on the way may itself be an expression."""
        dots = len(text) - len(text.lstrip("."))
        base = key[: max(len(key) - dots, 0)] if dots else ()
        names = [n for n in re.split(r"[.\[\]]+", text[dots:]) if n]
        if not names or dots > len(key):
            raise self._error(f"there is no key in '${{{_short(text)}}}'", key)
        raw: Any = self.root
        place: Key = ()
        for name in (*base, *names):
            if isinstance(raw, str) and "${" in raw:
                raw, _ = self.value(raw, place)
            known = _names(raw)
            if name not in known:
                fix = nearest(name, known) or (f"there are {', '.join(list(known)[:8])}" if known else "")
                raise self._error(f"'{'.'.join((*base, *names))}' is not found: no {name!r} there", key, fix)
            raw, place = known[name], (*place, name)
        return self.value(raw, place)

    def _error(self, what: str, key: Key, fix: str = "") -> ConfigError:
        return ConfigError(what, where=".".join(key) or "config", fix=fix or "check the ${...} expressions")


def _names(value: Any) -> dict[str, Any]:
    """What a value holds by the names that a dotted key uses."""
    if isinstance(value, Mapping):
        return {str(k): v for k, v in value.items()}
    return {str(i): v for i, v in enumerate(value)} if isinstance(value, list) else {}


def _plain(text: str) -> list[tuple[Any, int]]:
    return [(text, len(text))] if text else []


def _copied(value: Any) -> Any:
    """A copy in which nothing is shared: a change of one key must not show at another."""
    if isinstance(value, Mapping):
        return {k: _copied(v) for k, v in value.items()}
    return [_copied(v) for v in value] if isinstance(value, list) else value


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
