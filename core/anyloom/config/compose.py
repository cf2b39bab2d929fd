"""Several YAML files, recipe names and dotted overrides -> one dictionary of plain values.

Dictionaries merge key by key, so a later file can change one option of one component and keep the rest; see
:mod:`anyloom.config.merging` for what is replaced instead, and :mod:`anyloom.config.interpolation` for ``${...}``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Final

from anyloom.config.interpolation import resolve, resolve_packages
from anyloom.config.merging import merge, nested
from anyloom.config.packages import recipe_path
from anyloom.config.saved import is_saved_model, saved_sections
from anyloom.config.schema import ProjectConfig
from anyloom.config.trust import require_safe
from anyloom.config.yaml_text import parse_yaml, read_yaml
from anyloom.errors import ConfigError, nearest
from anyloom.limits import limit
from anyloom.options import checked_path

__all__ = ["compose", "overridden", "require_sections"]

_BITS = 1024  # of a whole number; a float has no larger one

_MOST_BASES: Final = 100

Source = str | Path | Mapping[str, Any]


def compose(
    sources: Sequence[Source],
    overrides: Sequence[str] = (),
    stage: str | None = None,
    *,
    safe: bool = False,
    trust: bool = False,
    strict: bool = False,
) -> dict[str, Any]:
    """Merge configs from left to right, then apply a stage, then overrides; interpolations resolve at the end.

    Args:
        sources: YAML files, names of recipes, folders of saved models (their ``model:`` section, and training that
            starts from them), or mappings.
        overrides: ``a.b.c=value`` with YAML values; a number in the key is an item of a list.
        stage: Name in ``stages``; its sections are merged over the others.
        safe: For a stranger's config: refuse class paths and the environment.
        trust: Let saved models name classes to import.
        strict: Refuse overrides of sections, variables and stages that no source has, which would change nothing.

    Raises:
        anyloom.errors.ConfigError: A file is missing or not YAML, an override has no ``=``, a stage does not exist,
            an interpolation does not resolve, or something is too large.
        anyloom.errors.CheckpointError: A saved model is damaged, or names code and is not trusted.

    >>> compose([{"data": {"batch_size": 2, "seed": 1}}], ["data.batch_size=4"])
    {'data': {'batch_size': 4, 'seed': 1}}
    >>> compose([{"stages": {"one": {}, "two": {}}}, {"stages": {"one": None}}])
    {'stages': {'two': {}}}
    """
    reading = _Reading(trust)
    merged: dict[str, Any] = {}
    for source in sources:
        merged = reading.add(merged, source)
    given = [_override(o) for o in overrides]
    if strict:
        for text, override in zip(overrides, given):
            _require_known(merged, override, text)
    for override in given:
        merged = merge(merged, override)
    stages = _stages(merged)
    if stage is not None:
        if stage not in stages:
            known = ", ".join(stages) or "none"
            raise ConfigError(f"there is no stage {stage!r}", where="stages", fix=f"stages: {known}")
        merged = merge(merged, stages[stage])
        for override in given:
            merged = merge(merged, override)
    merged.pop("stages", None)
    module = merged.get("module")
    if isinstance(module, Mapping) and module and not {"name", "class_path"} & module.keys():
        merged["module"] = {**_DEFAULT_MODULE, **module}
    resolved = resolve(merged, safe=safe)
    if safe:
        require_safe(resolved)
    return {**resolved, "stages": stages} if stages else resolved


_DEFAULT_MODULE: Final = {"name": "any-to-any"}
"""What a module section without a name is of, as one that is left out."""


def overridden(section: Mapping[str, Any], overrides: Sequence[str], *, key: str) -> dict[str, Any]:
    """Return one section with overrides, ``key.a.b=value``; expressions in it stay texts.

    Args:
        section: The section, such as that of a saved model.
        overrides: See :func:`compose`.
        key: Its name.

    Raises:
        anyloom.errors.ConfigError: An override is wrong, or of another section.

    >>> overridden({"llm": {"layers": 2}}, ["model.llm.layers=4"], key="model")
    {'llm': {'layers': 4}}
    """
    merged: dict[str, Any] = {key: dict(section)}
    for text in overrides:
        override = _override(text)
        if key not in override:
            raise ConfigError(f"only {key!r} can be changed here", where=text, fix=f"begin with '{key}.'")
        merged = merge(merged, override)
    changed: dict[str, Any] = merged[key]
    return changed


class _Reading:
    """Reads sources with the files that they name as their ``defaults``."""

    def __init__(self, trust: bool) -> None:
        self.trust = trust
        self.files = 0

    def add(self, merged: dict[str, Any], source: Source, within: tuple[Path, ...] = ()) -> dict[str, Any]:
        """Merge one more source. A saved model is whole: it replaces what was described, and how it was made."""
        if isinstance(source, str | Path) and is_saved_model(Path(source)):
            kept = {k: v for k, v in merged.items() if k not in ("model", "module", "stages")}
            return kept | saved_sections(Path(source), trust=self.trust)
        return merge(merged, self.read(source, within))

    def read(self, source: Source, within: tuple[Path, ...]) -> dict[str, Any]:
        """The sections of one source, over those of its ``defaults``."""
        if isinstance(source, Mapping):
            return _plain(source, "")  # type: ignore[no-any-return]
        path = checked_path(source, where="config", what="config")
        if not os.path.isfile(path):
            if path.suffix in (".yaml", ".yml") or path.parent != Path():
                raise ConfigError("there is no such config file", where=str(path), fix="check the path")
            path = recipe_path(str(source))
        if path.resolve() in within:
            raise ConfigError("the file is among its own 'defaults'", where=str(path), fix="take it out of the list")
        self.files += 1
        if self.files > _MOST_BASES:  # files that name each other twice would be read 2^n times
            raise ConfigError(f"more than {_MOST_BASES} files are merged", where=str(path), fix="use fewer 'defaults'")
        value: dict[str, Any] = _plain(read_yaml(path), str(path))
        merged: dict[str, Any] = {}
        for base in _bases(value.pop("defaults", None), path):
            local = path.parent / base
            known = os.path.isfile(local) or is_saved_model(local)
            merged = self.add(merged, local if known else base, (*within, path.resolve()))
        return merge(merged, value)


def _bases(value: Any, path: Path) -> list[str]:
    """What a file names as its ``defaults``."""
    bases = [value] if isinstance(value, str) else value or []
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise ConfigError("'defaults' is a list of files or recipes", where=str(path), fix="write defaults: [a.yaml]")
    return [resolve_packages(base, where=f"{path}: defaults") for base in bases]


def _override(text: str) -> dict[str, Any]:
    key, found, value = text.partition("=")
    names = key.strip().split(".")
    if not found or not all(names):
        raise ConfigError("an override is written key=value", where=text, fix="for example data.batch_size=4")
    if len(names) > limit("config-depth"):
        raise ConfigError(f"the key has more than {limit('config-depth')} parts", where=text[:60], fix="check the key")
    read = parse_yaml(value, where=text) if value else None
    if isinstance(read, Mapping) and (joined := next((k for k in read if _is_joined(k, read[k])), None)):
        fix = f"write a space after the colon: {joined.replace(':', ': ', 1)}"
        raise ConfigError(f"{joined!r} is a key without a value", where=text, fix=fix)
    return nested(names, _plain(read, text))


def _is_joined(key: Any, value: Any) -> bool:
    """Whether YAML took ``{a:1}`` for a key, since no space stands after the colon."""
    return isinstance(key, str) and value is None and re.fullmatch(r"\w+:\S+", key) is not None


def _require_known(merged: Mapping[str, Any], override: Mapping[str, Any], text: str) -> None:
    """Refuse an override that nothing will read. Below other sections, components know their own options.

    Raises:
        anyloom.errors.ConfigError: Names the nearest key.
    """
    section, inner = next(iter(override.items()))
    known: list[str] = list(ProjectConfig.model_fields)
    if section not in known:
        fix = nearest(section, known) or f"sections: {', '.join(known)}"
        raise ConfigError(f"there is no section {section!r}", where=text, fix=fix)
    table = merged.get(section)
    if section in ("variables", "stages") and isinstance(inner, Mapping):
        names = [str(name) for name in table] if isinstance(table, Mapping) else []
        name = str(next(iter(inner)))
        if name not in names:
            fix = nearest(name, names) or f"{section}: {', '.join(names) or 'none'}"
            raise ConfigError(f"no {section[:-1]} is called {name!r} in the config", where=text, fix=fix)
    if section == "variables":
        _require_read(merged, override, text)


_READ: Final = re.compile(r"\$\{(variables(?:\.[\w-]+)*)")


def _require_read(merged: Mapping[str, Any], override: Mapping[str, Any], text: str) -> None:
    """Refuse a key inside a variable that is not there and that no expression reads, alone or with its neighbours."""
    path, table, value = [], merged, override
    while isinstance(value, Mapping) and isinstance(table, Mapping) and len(value) == 1:
        name, value = next(iter(value.items()))
        path.append(str(name))
        if name not in table:
            break
        table = table[name]
    else:
        return
    whole = str(merged)
    read = {tuple(found.split(".")) for found in _READ.findall(whole)}
    own = {p for p in read if p[:2] == tuple(path[:2]) or len(p) == 1}  # one that no expression reads, a program does
    if not own or "${." in whole or any(p == tuple(path[: len(p)]) or p[: len(path)] == tuple(path) for p in own):
        return
    names = [str(name) for name in table]
    fix = nearest(path[-1], names) or f"{'.'.join(path[:-1])}: {', '.join(names)}"
    raise ConfigError(f"nothing reads {'.'.join(path)!r} in the config", where=text, fix=fix)


def require_sections(sections: Mapping[str, Any]) -> None:
    """Refuse a section that does not exist, before one that is missing is asked for.

    Raises:
        anyloom.errors.ConfigError: Names the nearest section; options of a model belong below ``model``.

    >>> require_sections({"model": {}})
    """
    known = list(ProjectConfig.model_fields)
    for name in sections:
        if name not in known:
            below = name in ("llm", "encoders", "decoders", "modalities", "couple", "losses", "loss", "max_length")
            fix = f"write {{model: {{{name}: ...}}}}" if below else nearest(str(name), known)
            fix = fix or f"sections: {', '.join(known)}"
            raise ConfigError(f"there is no section {name!r}", where=str(name), fix=fix)


def _stages(merged: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The stages of a config; one that is null is taken out, so that a config need not keep what its defaults have.

    Only one of them is used at a time, so that an unknown key in another would never show.

    Raises:
        anyloom.errors.ConfigError: They are no mapping of sections, or one has a section that does not exist.
    """
    stages = merged.get("stages") or {}
    if not isinstance(stages, Mapping):
        raise ConfigError("expected stages by name", where="stages", fix="write stages: {name: {module: ...}}")
    known = [name for name in ProjectConfig.model_fields if name != "stages"]
    for stage, sections in stages.items():
        if not isinstance(sections, Mapping | None):
            raise ConfigError(f"expected sections, got {sections!r}", where=f"stages.{stage}", fix="give a mapping")
        for name in sections or ():
            if name not in known:
                fix = nearest(str(name), known) or f"sections: {', '.join(known)}"
                raise ConfigError(f"there is no section {name!r}", where=f"stages.{stage}.{name}", fix=fix)
    return {str(name): dict(sections) for name, sections in stages.items() if sections is not None}


def _plain(value: Any, where: str, depth: int = 0) -> Any:
    """A copy of plain values; keys become text, as they are in dotted keys.

    Raises:
        anyloom.errors.ConfigError: Something else is among them, or they are nested too deeply.
    """
    if depth > limit("config-depth"):
        raise ConfigError(
            "nested too deeply", where=where or "config", fix=f"use at most {limit('config-depth')} levels"
        )
    if isinstance(value, Mapping):
        return {_key(k, where): _plain(v, where, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, where, depth + 1) for v in value]
    if isinstance(value, int) and value.bit_length() > _BITS:
        raise ConfigError("a number is larger than any option takes", where=where or "config", fix="make it smaller")
    if value is None or isinstance(value, str | int | float | Path | Enum | timedelta):
        return value
    fix = "use texts, numbers, booleans, lists and mappings"
    raise ConfigError(f"a {type(value).__name__} cannot stand in a config", where=where or "config", fix=fix)


def _key(key: Any, where: str) -> str | int | float | bool:
    if isinstance(key, str | int | float):
        return key
    raise ConfigError(f"{key!r} cannot be a key", where=where or "config", fix="use a text")
