"""The hooks that a plugin may implement, all optional. A plugin is a module behind an ``anyloom`` entry point.

A complete plugin module::

    from anyloom.discovery import ComponentSpec, hookimpl

    @hookimpl
    def anyloom_components():
        return [ComponentSpec(kind="encoder", name="tiny", target="anyloom_tiny.encoder:TinyEncoder",
                              modalities=("scan",), licence="Apache-2.0", summary="Mean density.")]

and in its ``pyproject.toml``::

    [project.entry-points.anyloom]
    anyloom_tiny = "anyloom_tiny.plugin"
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import pluggy

if TYPE_CHECKING:
    from anyloom.discovery.records import CommandSpec, ComponentSpec, RecipeSpec

__all__ = ["GROUP", "AnyloomHooks", "HookManager", "hookimpl", "hookspec"]

GROUP: Final = "anyloom"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


class HookManager(pluggy.PluginManager):
    """pluggy's manager, quick for many plugins: of a module's names it inspects those with the decorator alone."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        """Options of an implementation, or None."""
        decorated = f"{self.project_name}_impl" in getattr(getattr(plugin, name, None), "__dict__", ())
        return super().parse_hookimpl_opts(plugin, name) if decorated else None


class AnyloomHooks:
    """Hook specifications. Implementations may take fewer arguments than are declared here."""

    @hookspec
    def anyloom_components(self) -> Iterable[ComponentSpec]:
        """Return the records of the components this plugin offers. Called once; import nothing heavy."""
        raise NotImplementedError

    @hookspec
    def anyloom_recipes(self) -> Iterable[RecipeSpec]:
        """Return the recipes (YAML configs) this plugin ships."""
        raise NotImplementedError

    @hookspec
    def anyloom_commands(self) -> Iterable[CommandSpec]:
        """Return extra subcommands of ``anyloom``."""
        raise NotImplementedError

    @hookspec
    def anyloom_checks(self, model: Any, config: dict[str, Any]) -> Iterable[str]:
        """Return problems, one line each, of a model assembled on the meta device by ``anyloom check``.

        Args:
            model: The assembled :class:`anyloom.AnyToAnyModel`, without weights.
            config: The resolved configuration as plain containers.
        """
        raise NotImplementedError
