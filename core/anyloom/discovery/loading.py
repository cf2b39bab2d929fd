"""From one entry point to the records it offers, or to the reason why it offers none."""

from __future__ import annotations

import importlib.metadata
import time
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pluggy

from anyloom.discovery.guarding import guarded
from anyloom.discovery.records import API, CommandSpec, ComponentSpec, RecipeSpec
from anyloom.errors import AnyloomError, PluginError

__all__ = ["ALLOW_VARIABLE", "Plugin", "Records", "load_plugin"]

ALLOW_VARIABLE: Final = "ANYLOOM_PLUGINS"
"""Environment variable with a comma-separated allow-list of entry-point names.

Unset means all; empty means the core alone.
"""


@dataclass(frozen=True)
class Plugin:
    """One entry point of the group ``anyloom`` and what became of it.

    Args:
        name: Entry-point name.
        package: Distribution that declares it.
        version: Version of that distribution.
        status: ``ok``, ``failed``, ``incompatible`` or ``disabled``.
        cause: One line why it is not ``ok``.
        detail: The full traceback, where there is one.
        seconds: How long it took to load.
        module: Module behind the entry point.
    """

    name: str
    package: str
    version: str
    status: str = "ok"
    cause: str = ""
    detail: str = ""
    seconds: float = 0.0
    module: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.package} {self.version})"


@dataclass(frozen=True)
class Records:
    """What one plugin offers."""

    components: tuple[ComponentSpec, ...] = ()
    recipes: tuple[RecipeSpec, ...] = ()
    commands: tuple[CommandSpec, ...] = ()


@dataclass
class Taken:
    """Names of recipes and commands that are taken, with their plugins; later plugins may not use them again."""

    owners: dict[tuple[type[Any], str], Plugin] = field(default_factory=dict)


def load_plugin(
    point: importlib.metadata.EntryPoint,
    manager: pluggy.PluginManager,
    taken: Taken,
    *,
    allowed: bool,
    limit: float = 0.0,
) -> tuple[Plugin, Records]:
    """Import one entry point and ask it for its records; a plugin gives all of them, or none.

    Args:
        point: The entry point.
        manager: Keeps the module registered if, and only if, the plugin is ``ok``.
        taken: Names that earlier plugins have; extended by this one's.
        allowed: Whether the allow-list names it.
        limit: Seconds after which loading is interrupted, if it can be; 0 for never.
    """
    plugin = describe(point)
    if not allowed:
        return replace(plugin, status="disabled", cause=f"not in the allow-list {ALLOW_VARIABLE}"), Records()
    start = time.monotonic()
    try:
        with guarded(str(plugin), _leave_out(plugin), limit):
            module = point.load()
            manager.register(module, name=f"{plugin.name}@{plugin.package}")
            manager.check_pending()
            records = _records(module, plugin, manager)
        _claim(records, plugin, taken)
    except (Exception, SystemExit) as error:
        manager.unregister(name=f"{plugin.name}@{plugin.package}")
        status = "incompatible" if isinstance(error, _IncompatibleError) else "failed"
        return replace(plugin, status=status, cause=_cause(error, plugin), detail=traceback.format_exc()), Records()
    return replace(plugin, seconds=time.monotonic() - start), records


def _leave_out(plugin: Plugin) -> str:
    return f"upgrade or uninstall {plugin.package}, or list only other entry points in {ALLOW_VARIABLE}"


def _cause(error: BaseException, plugin: Plugin) -> str:
    """What went wrong and what to do, in one line."""
    cause, cure = f"{type(error).__name__}: {error}", _leave_out(plugin)
    if isinstance(error, AnyloomError):
        cause, cure = str(error), "" if error.fix else cure
    elif isinstance(error, ImportError):
        cure = f"install what {plugin.package} needs, or {cure}"
    elif isinstance(error, pluggy.PluginValidationError):
        cure = f"its authors: take the arguments that anyloom.discovery.AnyloomHooks names; you: {cure}"
    line = " ".join(cause.split())
    return f"{line.rstrip('.')}. To fix: {cure}" if cure else line


def describe(point: importlib.metadata.EntryPoint) -> Plugin:
    """Return the name, distribution and version of an entry point."""
    package, version = (point.dist.name, point.dist.version) if point.dist else ("unknown", "?")
    return Plugin(point.name, package, version, module=point.module)


def _records(module: Any, plugin: Plugin, manager: pluggy.PluginManager) -> Records:
    if not manager.get_hookcallers(module):
        raise PluginError(
            "the module implements no hook of anyloom", fix="decorate its functions with anyloom.discovery.hookimpl"
        )
    components = _answers(module, manager, "anyloom_components", ComponentSpec, plugin)
    owner = {"package": plugin.package, "version": plugin.version, "plugin": plugin.name}
    owned = tuple(replace(spec, **owner) for spec in components)
    return Records(
        owned,
        _answers(module, manager, "anyloom_recipes", RecipeSpec, plugin),
        _answers(module, manager, "anyloom_commands", CommandSpec, plugin),
    )


def _answers(
    module: Any, manager: pluggy.PluginManager, hook: str, record: type[Any], plugin: Plugin
) -> tuple[Any, ...]:
    """Call one plugin's implementation of a hook and check every record it returns."""
    found: dict[tuple[Any, str], Any] = {}
    for implementation in getattr(manager.hook, hook).get_hookimpls():
        if implementation.plugin is not module:
            continue
        answer = implementation.function()
        if not isinstance(answer, Iterable) or isinstance(answer, str):
            raise PluginError(f"{hook} must return a list of {record.__name__}, got {answer!r}")
        for spec in answer:
            _check_record(spec, hook, record, plugin)
            key = (getattr(spec, "kind", None), spec.name)
            if key in found:
                raise PluginError(f"{hook} returns the name {spec.name!r} twice")
            found[key] = spec
    return tuple(found.values())


def _check_record(spec: Any, hook: str, record: type[Any], plugin: Plugin) -> None:
    if not isinstance(spec, record):
        raise PluginError(f"{hook} must return {record.__name__} records, got {spec!r}")
    if spec.api != API:
        raise _IncompatibleError(
            f"{spec.name!r} is written for plugin api {spec.api}; this anyloom has api {API}",
            fix=f"install a version of {plugin.package} for api {API}",
        )


def _claim(records: Records, plugin: Plugin, taken: Taken) -> None:
    """Take the names of recipes and commands, or raise and take none. (Components may clash until one is asked for.)"""
    given: list[RecipeSpec | CommandSpec] = [*records.recipes, *records.commands]
    claims: dict[tuple[type[Any], str], Plugin] = {(type(record), record.name): plugin for record in given}
    for kind, name in claims:
        if (kind, name) in taken.owners:
            word = "recipe" if kind is RecipeSpec else "command"
            raise PluginError(
                f"the {word} {name!r} of {plugin} is also provided by {taken.owners[kind, name]}",
                fix=f"uninstall one of them, or list the entry points to load in {ALLOW_VARIABLE}",
            )
    taken.owners.update(claims)


class _IncompatibleError(PluginError):
    """A record asks for another plugin api."""
