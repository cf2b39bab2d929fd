"""Merging of configs, key by key, with an eye for what a mapping stands for.

Two kinds of mappings are replaced and not merged, because their other keys belong to what they were before: a component
that becomes another one, and an architecture that becomes another ``model_type``. A ``name`` elsewhere (of a logger's
run, of a variable) is a value like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from anyloom.discovery import KINDS
from anyloom.errors import ConfigError

__all__ = ["is_component", "merge", "nested"]

_FREE: Final = ("init_args", "architecture")
"""Below these keys every name is the user's or a library's."""

Key = tuple[str, ...]


def is_component(key: Key) -> bool:
    """Whether a component, ``{name: ..., options}``, stands at a key of a config.

    It does in ``module``, and in ``model``, ``module``, ``data`` and an evaluation suite wherever the key is a kind of
    component (``llm``, ``input_projector``) or an entry of a table of one (``encoders.eye``, ``metrics.psnr``).

    >>> is_component(("model", "encoders", "eye")), is_component(("trainer", "logger", "init_args"))
    (True, False)
    """
    if key[:1] == ("stages",):
        key = key[2:]
    if key == ("module",):
        return True
    if len(key) < 2 or key[0] not in ("model", "module", "data", "suite") or any(k in _FREE for k in key):
        return False
    table, last = key[-2], key[-1]
    if key == ("model", "loss"):  # weights of terms; components of the kind stand in the table model.losses
        return False
    return table in _TABLES or any(last == kind or last.endswith(f"_{kind}") for kind in KINDS)


_TABLES: Final = tuple(f"{kind}{'es' if kind.endswith('s') else 's'}" for kind in KINDS if kind != "modality")


def merge(old: Mapping[str, Any], new: Mapping[str, Any], key: Key = ()) -> dict[str, Any]:
    """Return ``old`` with the values of ``new``.

    Args:
        old: What is changed; stays as it is.
        new: What changes it.
        key: Where both stand.

    Raises:
        anyloom.errors.ConfigError: Items of a list are named that are not there.

    >>> merge({"data": {"batch_size": 2, "seed": 1}}, {"data": {"seed": 3}})
    {'data': {'batch_size': 2, 'seed': 3}}
    """
    merged = dict(old)
    written = {str(name): name for name in old}  # an override's key is text, a file's may be a number
    for given, value in new.items():
        name = written.get(str(given), given)
        before, place = merged.get(name), (*key, str(name))
        if isinstance(value, _Items) and isinstance(before, list):
            merged[name] = _merge_items(before, value, place)
        elif isinstance(before, Mapping) and isinstance(value, Mapping) and not _replaces(before, value, place):
            merged[name] = merge(before, value, place)
        else:
            merged[name] = dict(value) if isinstance(value, _Items) else value
            if isinstance(before, Mapping) and isinstance(value, Mapping) and _wraps_a_class(before, place):
                merged[name] = {"name": before["name"], **value}  # it wraps another class
    return merged


class _Items(dict[str, Any]):
    """What an override such as ``trainer.callbacks.0.x=1`` changes: items of a list, if a list stands there."""


def nested(names: Sequence[str], value: Any) -> dict[str, Any]:
    """Return ``{a: {b: value}}`` for the names of a dotted key.

    >>> nested(["data", "seed"], 3)
    {'data': {'seed': 3}}
    """
    for name in reversed(names):
        value = (_Items if name.isdecimal() else dict)({name: value})
    return value  # type: ignore[no-any-return]


def _merge_items(old: list[Any], new: _Items, key: Key) -> list[Any]:
    merged = list(old)
    for name, value in new.items():
        index = int(name)
        place = (*key, name)
        if index >= len(old):
            raise ConfigError(f"the list has {len(old)} items", where=".".join(place), fix="count from 0")
        before = old[index]
        whole = not (isinstance(before, Mapping) and isinstance(value, Mapping)) or _replaces(before, value, place)
        merged[index] = value if whole else merge(before, value, place)
    return merged


def _wraps_a_class(component: Mapping[str, Any], key: Key) -> bool:
    """Whether a component has a name, and a class path as one of its options."""
    return is_component(key) and {"name", "class_path"} <= component.keys()


def _replaces(old: Mapping[str, Any], new: Mapping[str, Any], key: Key) -> bool:
    """Whether ``new`` is another thing than ``old``, whose other keys mean nothing to it."""
    naming = ("name", "class_path") if is_component(key) else ("class_path",)
    before, after = ({k: m[k] for k in naming if m.get(k) is not None} for m in (old, new))
    both = before.keys() & after.keys()
    if any(before[k] != after[k] for k in both) or (before and after and not both):
        return True
    kinds = old.get("model_type"), new.get("model_type")
    return None not in kinds and kinds[0] != kinds[1]
