"""Finds plugins once per process and answers "who provides this name?". Importing a component is left to the end.

Every entry point loads inside its own ``try``: a plugin that breaks is listed with its cause and harms nobody
else. The registry is a value; :func:`get_registry` keeps one per allow-list, so a spawned worker that
asks again finds the same plugins from the same entry points.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from anyloom.discovery.finding import Found, find_plugins
from anyloom.discovery.guarding import time_limit
from anyloom.discovery.hooks import GROUP, AnyloomHooks, HookManager
from anyloom.discovery.loading import ALLOW_VARIABLE, Loader, Plugin, in_order
from anyloom.discovery.records import KINDS, CommandSpec, ComponentSpec, RecipeSpec
from anyloom.discovery.targets import how_to_install, import_function, missing_modules
from anyloom.errors import PluginError, UnknownNameError, nearest

__all__ = ["Registry", "get_registry"]


class Registry:
    """All components, recipes and commands of the installed plugins.

    Args:
        allow: Entry-point names to load; ``None`` loads all. The core's own entry is always loaded.

    Raises:
        anyloom.errors.UnknownNameError: The allow-list names an entry point that does not exist.
        anyloom.errors.ConfigError: The time limit in the environment is no number.

    >>> registry = Registry(allow=[])  # the core's own entry alone
    >>> registry.provides("projector", "mlp")
    True
    >>> registry.status(registry.find("projector", "mlp"))
    'ok'
    """

    def __init__(self, allow: Sequence[str] | None = None) -> None:
        self.plugins: list[Plugin] = []
        self.recipes: dict[str, RecipeSpec] = {}
        self.commands: dict[str, CommandSpec] = {}
        self._components: dict[tuple[str, str], list[ComponentSpec]] = {}
        self._manager = HookManager(GROUP)
        self._manager.add_hookspecs(AnyloomHooks)
        loader = Loader(self._manager, time_limit())
        loader.load(_allowed(find_plugins(), allow))
        self.plugins += loader.plugins.values()
        for key in loader.ordered("anyloom_recipes"):
            self.recipes |= {r.name: r for r in loader.records[key].recipes}
        for key in loader.ordered("anyloom_commands"):
            self.commands |= {c.name: c for c in loader.records[key].commands}
        for records in loader.records.values():
            for spec in records.components:
                self._components.setdefault((spec.kind, spec.name), []).append(spec)

    @property
    def packages(self) -> list[str]:
        """Top-level packages of all installed plugins, those that do not load included."""
        modules = [p.module for p in self.plugins if p.module] + [r.package for r in self.recipes.values()]
        return sorted({module.partition(".")[0] for module in modules})

    @property
    def hook(self) -> Any:
        """The pluggy hook relay, for hooks that all plugins answer together."""
        return self._manager.hook

    def callers(self, hook: str) -> Iterator[tuple[str, Callable[..., list[Any]]]]:
        """For each plugin that implements a hook, its name and a caller of its implementations alone.

        They come in pluggy's order (``tryfirst``, then as loaded, then ``trylast``) and go through all wrappers.
        """
        implementations: list[Any] = getattr(self._manager.hook, hook).get_hookimpls()
        plain = in_order(implementations)
        for own in plain:
            others = [i.plugin for i in plain if i.plugin is not own.plugin]
            yield own.plugin_name, self._manager.subset_hook_caller(hook, others)

    def components(self, kind: str | None = None) -> list[ComponentSpec]:
        """All component records, duplicates included, sorted by kind and name."""
        specs = [s for group in self._components.values() for s in group if kind in (None, s.kind)]
        return sorted(specs, key=lambda s: (KINDS.index(s.kind), s.name, s.package))

    def status(self, spec: ComponentSpec) -> str:
        """``ok``, ``duplicate`` or ``needs X`` for the missing modules of a component."""
        if len(self._components[spec.kind, spec.name]) > 1:
            return "duplicate"
        missing = missing_modules(spec.requires)
        return f"needs {', '.join(missing)}" if missing else "ok"

    def provides(self, kind: str, name: str) -> bool:
        """Whether any plugin claims the name."""
        return (kind, name) in self._components

    def find(self, kind: str, name: str, *, where: str = "") -> ComponentSpec:
        """Return the one record called ``name``.

        Raises:
            anyloom.errors.UnknownNameError: Nobody provides it; names the nearest one and the plugins that failed.
            anyloom.errors.PluginError: Two packages claim it, or something it requires is not installed.
        """
        specs = self._components.get((kind, name), [])
        if not specs:
            raise self._unknown(kind, name, where)
        if len(specs) > 1:
            raise self._duplicate(specs, where)
        if missing := missing_modules(specs[0].requires):
            raise PluginError(
                f"the {kind} {name!r} of {specs[0].package} {specs[0].version} needs {', '.join(missing)}, "
                "which is not installed",
                where=where,
                fix=how_to_install(missing, specs[0].package),
            )
        return specs[0]

    def _duplicate(self, specs: Sequence[ComponentSpec], where: str) -> PluginError:
        claims = " and ".join(f"{s.package} {s.version} ({s.target})" for s in specs)
        names = [s.plugin for s in specs]
        points = [f"{s.plugin}@{s.package}" if names.count(s.plugin) > 1 else s.plugin for s in specs]
        return PluginError(
            f"{len(specs)} plugins provide the {specs[0].kind} {specs[0].name!r}: {claims}",
            where=where,
            fix=f"uninstall all but one, or set {ALLOW_VARIABLE} to a list with only one of {', '.join(points)}",
        )

    def _unknown(self, kind: str, name: str, where: str) -> UnknownNameError:
        if kind not in KINDS:
            fix = nearest(str(kind), KINDS) or f"the kinds are {', '.join(KINDS)}"
            raise UnknownNameError(f"no kind of component is called {kind!r}", where=where, fix=fix)
        known = [s.name for s in self.components(kind)]
        unused = [p for p in self.plugins if p.status != "ok"]
        hints = [nearest(name, known), f"installed: {', '.join(known) or 'none'}"]
        if unused:
            causes = "; ".join(f"{p} {p.status}: {p.cause}" for p in unused)
            hints.append(f"plugins that are installed but not in use may provide it: {causes}")
        error = UnknownNameError(f"no {kind} is called {name!r}", where=where, fix="; ".join(h for h in hints if h))
        for plugin in unused:
            if plugin.detail:
                error.add_note(f"{plugin} {plugin.status}:\n{plugin.detail}")
        return error

    def command(self, name: str) -> Callable[[list[str]], int | None]:
        """Import the function behind a subcommand.

        Raises:
            anyloom.errors.UnknownNameError: No plugin provides it.
            anyloom.errors.PluginError: It cannot be imported.
        """
        if name not in self.commands:
            fix = nearest(name, self.commands) or f"the commands are {', '.join(self.commands)}"
            raise UnknownNameError(f"there is no command {name!r}", fix=fix)
        return import_function(self.commands[name].target, label=f"command {name!r}")


def _allowed(points: Sequence[Found], allow: Sequence[str] | None) -> Iterator[tuple[Found, bool]]:
    """Each entry point with whether an allow-list names it; the core always is."""
    known = sorted({p.name for p in points})
    full = {f"{p.name}@{p.package}" for p in points}
    for name in allow or ():
        if name not in known and name not in full:
            raise UnknownNameError(
                f"no entry point {name!r} in the group {GROUP!r}",
                where=f"plugin allow-list ({ALLOW_VARIABLE})",
                fix=nearest(name, known) or f"the entry points are {', '.join(known)}",
            )
    for point in points:
        named = allow is None or point.name in allow or f"{point.name}@{point.package}" in allow
        yield point, named or point.name == GROUP


@functools.cache
def _registry(allow: tuple[str, ...] | None) -> Registry:
    return Registry(allow)


def get_registry(allow: Sequence[str] | None = None) -> Registry:
    """Return the registry of this process for an allow-list (default: :data:`ALLOW_VARIABLE`, else all).

    A list given as an argument holds for this call only; the environment variable reaches worker processes too.

    >>> get_registry().provides("dataset", "conversations")
    True
    """
    if allow is None and (listed := os.environ.get(ALLOW_VARIABLE)) is not None:
        allow = [n.strip() for n in listed.split(",") if n.strip()]
    return _registry(tuple(allow) if allow is not None else None)
