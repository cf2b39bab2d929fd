"""Finds plugins once per process and answers "who provides this name?". Importing a component is left to the end.

Every entry point loads inside its own ``try``: a plugin that breaks is listed with its cause and harms nobody
else. The registry is a value; :func:`get_registry` keeps one per allow-list, so a spawned worker that
asks again finds the same plugins from the same entry points.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pluggy

from anyloom.discovery.hooks import GROUP, AnyloomHooks
from anyloom.discovery.records import API, KINDS, CommandSpec, ComponentSpec, RecipeSpec
from anyloom.errors import AnyloomError, PluginError, UnknownNameError, nearest

__all__ = ["ALLOW_VARIABLE", "Plugin", "Registry", "get_registry"]

ALLOW_VARIABLE: Final = "ANYLOOM_PLUGINS"
"""Environment variable with a comma-separated allow-list of entry-point names. Unset means all."""


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
    """

    name: str
    package: str
    version: str
    status: str = "ok"
    cause: str = ""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.package} {self.version})"


class Registry:
    """All components, recipes and commands of the installed plugins.

    Args:
        allow: Entry-point names to load; ``None`` loads all. The core's own entry is always loaded.
    """

    def __init__(self, allow: Sequence[str] | None = None) -> None:
        self.plugins: list[Plugin] = []
        self.recipes: dict[str, RecipeSpec] = {}
        self.commands: dict[str, CommandSpec] = {}
        self._components: dict[tuple[str, str], list[ComponentSpec]] = {}
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(AnyloomHooks)
        points = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda p: (p.name != GROUP, p.name))
        for name in allow or ():
            if name not in {p.name for p in points}:
                raise UnknownNameError(
                    f"no entry point {name!r} in the group {GROUP!r}",
                    where=f"plugin allow-list ({ALLOW_VARIABLE})",
                    fix=nearest(name, [p.name for p in points]) or "run 'anyloom plugins'",
                )
        for point in points:
            self._load(point, allowed=allow is None or point.name in allow or point.name == GROUP)

    def _load(self, point: importlib.metadata.EntryPoint, *, allowed: bool) -> None:
        dist = point.dist
        plugin = Plugin(point.name, dist.name if dist else "unknown", dist.version if dist else "?")
        if not allowed:
            self.plugins.append(replace(plugin, status="disabled", cause=f"not in the allow-list {ALLOW_VARIABLE}"))
            return
        try:
            self._manager.register(point.load(), name=f"{point.name}@{plugin.package}")
            self._collect(plugin)
        except (Exception, SystemExit) as error:
            cause = f"{type(error).__name__}: {error}".splitlines()[0]
            status = "incompatible" if isinstance(error, _IncompatibleError) else "failed"
            cause = str(error) if isinstance(error, AnyloomError) else cause
            self.plugins.append(replace(plugin, status=status, cause=cause, detail=traceback.format_exc()))
        else:
            self.plugins.append(plugin)

    def _collect(self, plugin: Plugin) -> None:
        """Ask one plugin for its records; all of them are taken, or none."""
        components = list(self._ask(plugin, "anyloom_components", ComponentSpec))
        recipes = list(self._ask(plugin, "anyloom_recipes", RecipeSpec))
        commands = list(self._ask(plugin, "anyloom_commands", CommandSpec))
        for spec in components:
            spec = replace(spec, package=plugin.package, version=plugin.version)
            self._components.setdefault((spec.kind, spec.name), []).append(spec)
        for table, records in ((self.recipes, recipes), (self.commands, commands)):
            for record in records:
                if record.name in table:
                    raise PluginError(f"the name {record.name!r} is taken by another plugin", where=str(plugin))
                table[record.name] = record  # type: ignore[index]

    def _ask(self, plugin: Plugin, hook: str, record: type[Any]) -> Iterator[Any]:
        others = [p for n, p in self._manager.list_name_plugin() if n != f"{plugin.name}@{plugin.package}"]
        answers: Iterable[Any] = self._manager.subset_hook_caller(hook, remove_plugins=others)()
        for answer in answers:
            for spec in answer:
                if not isinstance(spec, record):
                    raise PluginError(f"{hook} must return {record.__name__} records, got {spec!r}", where=str(plugin))
                if spec.api != API:
                    raise _IncompatibleError(
                        f"{spec.name!r} is written for plugin api {spec.api}; this anyloom has api {API}",
                        where=str(plugin),
                        fix=f"install a version of {plugin.package} for api {API}",
                    )
                yield spec

    @property
    def hook(self) -> Any:
        """The pluggy hook relay, for hooks that all plugins answer together (``anyloom_checks``)."""
        return self._manager.hook

    def components(self, kind: str | None = None) -> list[ComponentSpec]:
        """All component records, duplicates included, sorted by kind and name."""
        specs = [s for group in self._components.values() for s in group if kind in (None, s.kind)]
        return sorted(specs, key=lambda s: (KINDS.index(s.kind), s.name, s.package))

    def status(self, spec: ComponentSpec) -> str:
        """``ok``, ``duplicate`` or ``needs X`` for the missing modules of a component."""
        if len(self._components[spec.kind, spec.name]) > 1:
            return "duplicate"
        missing = [m for m in spec.requires if importlib.util.find_spec(m) is None]
        return f"needs {', '.join(missing)}" if missing else "ok"

    def find(self, kind: str, name: str, *, where: str = "") -> ComponentSpec:
        """Return the one record called ``name``.

        Raises:
            UnknownNameError: Nobody provides it; names the nearest one and the plugins that failed to load.
            PluginError: Two packages claim it, or something it requires is not installed.
        """
        specs = self._components.get((kind, name), [])
        if len(specs) > 1:
            claims = " and ".join(f"{s.package} {s.version} ({s.target})" for s in specs)
            raise PluginError(
                f"two plugins provide the {kind} {name!r}: {claims}",
                where=where,
                fix=f"uninstall one of them, or list the entry points to load in {ALLOW_VARIABLE}",
            )
        if not specs:
            raise self._unknown(kind, name, where)
        status = self.status(specs[0])
        if status != "ok":
            raise PluginError(
                f"the {kind} {name!r} of {specs[0].package} {status}, which is not installed",
                where=where,
                fix=f"pip install {' '.join(specs[0].requires)}",
            )
        return specs[0]

    def _unknown(self, kind: str, name: str, where: str) -> UnknownNameError:
        known = [s.name for s in self.components(kind)]
        broken = [f"{p}: {p.cause}" for p in self.plugins if p.status in ("failed", "incompatible")]
        hints = [nearest(name, known), f"installed: {', '.join(known) or 'none'}", f"or pip install anyloom-{name}"]
        if broken:
            hints.append(f"these plugins did not load and may provide it: {'; '.join(broken)}")
        return UnknownNameError(f"no {kind} is called {name!r}", where=where, fix="; ".join(h for h in hints if h))

    def load(self, kind: str, name: str, *, where: str = "") -> type[Any]:
        """Import and return the class behind a name, checked against the interface of its kind.

        ``name`` may also be a dotted class path (``package.module.Class``) that no plugin has registered.
        """
        if "." in name and (kind, name) not in self._components:
            module, _, attribute = name.rpartition(".")
            spec = None
        else:
            spec = self.find(kind, name, where=where)
            module, _, attribute = spec.target.partition(":")
        source = f"{spec.package} {spec.version}" if spec else "class path"
        try:
            cls: type[Any] = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise PluginError(
                f"the {kind} {name!r} cannot be imported from {module}:{attribute} ({source}): {error}", where=where
            ) from error
        from anyloom.interfaces import interface

        if not (isinstance(cls, type) and issubclass(cls, interface(kind))):
            raise PluginError(
                f"{module}:{attribute} ({source}) is not a subclass of {interface(kind).__name__}", where=where
            )
        return cls

    def command(self, name: str) -> Callable[[list[str]], int]:
        """Import the function behind a subcommand."""
        module, _, attribute = self.commands[name].target.partition(":")
        function: Callable[[list[str]], int] = getattr(importlib.import_module(module), attribute)
        return function


class _IncompatibleError(PluginError):
    """A record asks for another plugin api."""


@functools.cache
def _registry(allow: tuple[str, ...] | None) -> Registry:
    return Registry(allow)


def get_registry(allow: Sequence[str] | None = None) -> Registry:
    """Return the registry of this process for an allow-list (default: :data:`ALLOW_VARIABLE`, else all)."""
    if allow is None and (listed := os.environ.get(ALLOW_VARIABLE)) is not None:
        allow = [n.strip() for n in listed.split(",") if n.strip()]
    return _registry(tuple(allow) if allow is not None else None)
