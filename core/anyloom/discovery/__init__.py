"""Who provides what: plugins, found through the entry-point group ``anyloom``, and the records they return."""

from anyloom.discovery.hooks import AnyloomHooks, hookimpl, hookspec
from anyloom.discovery.loading import ALLOW_VARIABLE, Plugin
from anyloom.discovery.records import API, KINDS, CommandSpec, ComponentSpec, RecipeSpec
from anyloom.discovery.registry import Registry, get_registry

__all__ = [
    "ALLOW_VARIABLE",
    "API",
    "KINDS",
    "AnyloomHooks",
    "CommandSpec",
    "ComponentSpec",
    "Plugin",
    "RecipeSpec",
    "Registry",
    "get_registry",
    "hookimpl",
    "hookspec",
]
