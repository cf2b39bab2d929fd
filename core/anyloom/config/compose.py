"""Several YAML files, recipe names and dotted overrides -> one dictionary of plain values, by OmegaConf.

Dictionaries merge key by key, so a later file can change one option of one component and keep the rest. Where a later
file gives a component another ``name``, the earlier one's options are dropped: they belong to another class.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from anyloom.config.saved import is_saved_model, saved_sections
from anyloom.discovery import get_registry
from anyloom.errors import ConfigError, nearest

__all__ = ["compose", "recipe_path"]

_NAME_KEYS: Final = ("name", "class_path")


def recipe_path(name: str) -> Path:
    """Return the file of a recipe that a plugin ships.

    Raises:
        anyloom.errors.ConfigError: No plugin ships a recipe of that name.
    """
    recipes = get_registry().recipes
    if name not in recipes:
        raise ConfigError(
            f"neither a file nor a recipe is called {name!r}",
            where="config",
            fix=nearest(name, recipes) or f"recipes: {', '.join(recipes) or 'none'}",
        )
    return package_folder(recipes[name].package) / recipes[name].path


def package_folder(package: str) -> Path:
    """Folder of an importable package, found without importing it."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"there is no package {package!r}", where="config", fix=f"pip install {package}")
    return Path(next(iter(spec.submodule_search_locations)))


def compose(
    sources: Sequence[str | Path | Mapping[str, Any]], overrides: Sequence[str] = (), stage: str | None = None
) -> dict[str, Any]:
    """Merge configs from left to right, then apply a stage, then overrides; interpolations resolve at the end.

    Args:
        sources: YAML files, names of recipes, folders of saved models (their ``model:`` section, and training that
            starts from them), or mappings.
        overrides: ``a.b.c=value`` with YAML values.
        stage: Name in ``stages``; its sections are merged over the others.

    Raises:
        anyloom.errors.ConfigError: A file is missing or not YAML, an override has no ``=``, a stage does not exist,
            an interpolation does not resolve.
    """
    merged: dict[str, Any] = {}
    for source in sources:
        merged = _add(merged, source)
    given = [_override(o) for o in overrides]
    for override in given:
        merged = _merge(merged, override)
    if stage is not None:
        stages = merged.get("stages") or {}
        if stage not in stages:
            raise ConfigError(
                f"there is no stage {stage!r}", where="stages", fix=f"stages: {', '.join(stages) or 'none'}"
            )
        merged = _merge(merged, stages[stage])
        for override in given:
            merged = _merge(merged, override)
    return _resolve(merged)


def _add(
    merged: dict[str, Any], source: str | Path | Mapping[str, Any], within: tuple[Path, ...] = ()
) -> dict[str, Any]:
    """Merge one more source. A saved model is whole: it replaces the model that was described, and how it was made."""
    if not isinstance(source, Mapping) and is_saved_model(Path(source)):
        kept = {k: v for k, v in merged.items() if k not in ("model", "module", "stages")}
        return kept | saved_sections(Path(source))
    return _merge(merged, _read(source, within))


def _read(source: str | Path | Mapping[str, Any], within: tuple[Path, ...] = ()) -> dict[str, Any]:
    if isinstance(source, Mapping):
        return OmegaConf.to_container(OmegaConf.create(dict(source)), resolve=False)  # type: ignore[return-value]
    path = Path(source)
    if not path.is_file():
        if path.suffix in (".yaml", ".yml") or path.parent != Path():
            raise ConfigError("there is no such config file", where=str(path), fix="check the path")
        path = recipe_path(str(source))
    if path.resolve() in within:
        raise ConfigError("the file is among its own 'defaults'", where=str(path), fix="take it out of the list")
    value = _load(path)
    bases = value.pop("defaults", None) or []
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise ConfigError("'defaults' is a list of files or recipes", where=str(path), fix="write defaults: [a.yaml]")
    merged: dict[str, Any] = {}
    for base in bases:
        local = path.parent / base
        known = local.is_file() or is_saved_model(local)
        merged = _add(merged, local if known else base, (*within, path.resolve()))
    return _merge(merged, value)


def _load(path: Path) -> dict[str, Any]:
    """The sections of one file."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}", where=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        what = "the file is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else f"cannot be read ({error})"
        raise ConfigError(what, where=str(path), fix="give a YAML file") from error
    if not isinstance(value, dict):
        raise ConfigError("a config file holds sections such as 'model:' and 'data:'", where=str(path))
    return value


def _override(text: str) -> dict[str, Any]:
    key, found, value = text.partition("=")
    if not found or not key.strip():
        raise ConfigError("an override is written key=value", where=text, fix="for example data.batch_size=4")
    try:
        parsed = yaml.safe_load(value) if value else None
    except yaml.YAMLError as error:
        raise ConfigError("the value is not valid YAML", where=text) from error
    *outer, last = key.strip().split(".")
    nested: dict[str, Any] = {last: parsed}
    for part in reversed(outer):
        nested = {part: nested}
    return nested


def _merge(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested dictionaries; another component name replaces the component."""
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping) and not _replaces(before, value):
            merged[key] = _merge(before, value)
        else:
            merged[key] = value
    return merged


def _replaces(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    def name(component: Mapping[str, Any]) -> Any:
        return next((component[k] for k in _NAME_KEYS if k in component), None)

    return name(new) is not None and name(old) is not None and name(new) != name(old)


def _resolve(merged: dict[str, Any]) -> dict[str, Any]:
    if not OmegaConf.has_resolver("package"):
        OmegaConf.register_resolver("package", lambda name: str(package_folder(name)))
    stages = merged.pop("stages", None)
    try:
        config = OmegaConf.create(merged)
        assert isinstance(config, DictConfig)
        resolved: dict[str, Any] = OmegaConf.to_container(config, resolve=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise ConfigError(
            str(error).splitlines()[0], where=str(error.full_key or "config"), fix="check the ${...} expressions"
        ) from error
    if stages:
        resolved["stages"] = stages
    return resolved
