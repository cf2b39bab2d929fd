"""From a name and options to a component."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final

from anyloom.discovery import Registry, get_registry
from anyloom.discovery.targets import import_object, is_class_path
from anyloom.errors import ConfigError, PluginError
from anyloom.interfaces import ComponentConfig, interface
from anyloom.limits import limit
from anyloom.options import split_name, validate

__all__ = ["build", "build_named", "building_once", "component_class", "import_class", "registered_names_only"]

_ONLY_NAMES: Final = ContextVar("only_names", default=False)
_BUILT: Final[ContextVar[dict[tuple[str, ...], Any] | None]] = ContextVar("built", default=None)
_TOO_LARGE: Final = ("can't allocate memory", "not enough memory", "out of memory", "overflow")
_REUSED: Final = ("encoder", "decoder")
"""Kinds whose components nobody changes by their being part of a model: an LLM gets rows for its tags."""


@contextlib.contextmanager
def registered_names_only(only: bool = True) -> Iterator[None]:
    """Import nothing but what plugins have registered, for what comes from a stranger.

    Args:
        only: False changes nothing.

    >>> with registered_names_only():
    ...     component_class("encoder", "os.path.Thing")
    Traceback (most recent call last):
    anyloom.errors.PluginError: 'os.path.Thing' names code, and only registered names are allowed here. To fix: ...
    """
    token = _ONLY_NAMES.set(only or _ONLY_NAMES.get())
    try:
        yield
    finally:
        _ONLY_NAMES.reset(token)


@contextlib.contextmanager
def building_once() -> Iterator[None]:
    """Give the same encoder or decoder again for the same name and options, where components are only looked at.

    >>> with building_once():
    ...     build("encoder", "conv") is build("encoder", "conv")
    True
    """
    token = _BUILT.set({})
    try:
        yield
    finally:
        _BUILT.reset(token)


def component_class(kind: str, name: str, *, where: str = "", registry: Registry | None = None) -> type[Any]:
    """Import and return the class behind a name, checked against the interface of its kind.

    Args:
        kind: Kind of component, one of :data:`anyloom.discovery.KINDS`.
        name: Registered name, or a dotted class path (``package.module.Class``) that no plugin has registered. The name
            of a modality is always a registered one: it also stands in conversations, which are data.
        where: YAML key for error messages.
        registry: Who knows the names; by default this process's.

    Raises:
        anyloom.errors.UnknownNameError: Nobody provides the name.
        anyloom.errors.PluginError: The class cannot be imported or is not what its kind demands.

    >>> component_class("projector", "mlp").__name__
    'MLPProjector'
    """
    registry = registry or get_registry()
    if not isinstance(name, str):
        fix = "give a text, such as one of 'anyloom plugins'"
        raise ConfigError(f"a component is called by its name, got {name!r:.40}", where=where, fix=fix)
    if kind != "modality" and is_class_path(name) and not registry.provides(kind, name):
        if _ONLY_NAMES.get():
            fix = "load it with trust=True, or without --safe, if you trust its code"
            raise PluginError(f"{name!r} names code, and only registered names are allowed here", where=where, fix=fix)
        module, _, attribute = name.rpartition(".")
        return import_class(f"{module}:{attribute}", kind, label="class path in the config", where=where)
    spec = registry.find(kind, name, where=where)
    label = f"{kind} {name!r} of {spec.package} {spec.version}"
    return import_class(spec.target, kind, label=label, where=where)


def import_class(target: str, kind: str, *, label: str, where: str = "") -> type[Any]:
    """Import a component's class.

    Args:
        target: ``package.module:Class``.
        kind: Kind of component whose interface it must implement.
        label: Who says that it is one, for errors.
        where: YAML key, for errors.

    Raises:
        anyloom.errors.PluginError: The class cannot be imported, is not a subclass of its interface, leaves an
            abstract method open or has a ``Config`` of another kind.

    >>> import_class("anyloom.representation.projector:MLPProjector", "projector", label="an example").__name__
    'MLPProjector'
    """
    base: type[Any] = interface(kind)
    cls: Any = import_object(target, label=label, where=where)
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise PluginError(
            f"{target} ({label}) is not a subclass of {base.__name__}",
            where=where,
            fix=f"derive it from anyloom.interfaces.{base.__name__}",
        )
    members = (name for name in dir(cls) if not name.startswith("__"))
    missing = [n for n in members if getattr(inspect.getattr_static(cls, n), "__isabstractmethod__", False)]
    if missing:
        raise PluginError(
            f"{target} ({label}) does not implement {', '.join(missing)}",
            where=where,
            fix=f"see anyloom.interfaces.{base.__name__}",
        )
    config: Any = getattr(cls, "Config", None)
    if not (isinstance(config, type) and issubclass(config, ComponentConfig)):
        raise PluginError(
            f"the Config of {target} ({label}) is not a ComponentConfig",
            where=where,
            fix=f"derive it from anyloom.interfaces.ComponentConfig or {base.__name__}.Config",
        )
    return cls


def build(kind: str, name: str, options: Mapping[str, Any] | None = None, /, *, where: str = "", **more: Any) -> Any:
    """Build the component that a plugin registered under a name.

    Args:
        kind: Kind of component, one of :data:`anyloom.discovery.KINDS`.
        name: Registered name, or a dotted class path.
        options: The component's options, validated by its ``Config``.
        where: YAML key for error messages; defaults to kind and name.
        more: Further constructor arguments that the kind takes (a projector's widths).

    Raises:
        anyloom.errors.UnknownNameError: No plugin provides the name.
        anyloom.errors.ConfigError: An option is unknown or wrong.

    >>> build("projector", "mlp", {"hidden_dim": 8}, in_dim=4, out_dim=6).out_dim
    6
    """
    cls = component_class(kind, name, where=where)
    config = validate(cls.Config, options or {}, where=where or f"{kind} {name!r}")
    _require_arguments(cls, more, where or f"{kind} {name!r}")
    built = _BUILT.get()
    with _few_modules(where or f"{kind} {name!r}"):
        if built is None or kind not in _REUSED or more:
            return cls(config, **more)
        key = (kind, name, repr(config))
        if key not in built:
            built[key] = cls(config)
        return built[key]


def _require_arguments(cls: type[Any], more: Mapping[str, Any], where: str) -> None:
    """Refuse to build without the arguments that a kind takes beside its options, such as a projector's widths."""
    taken = list(inspect.signature(cls).parameters.values())[1:]
    plain = [p for p in taken if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    missing = [p.name for p in plain if p.default is p.empty and p.name not in more]
    if missing:
        fix = f"give {', '.join(f'{name}=...' for name in missing)}"
        raise ConfigError(f"it is built with {' and '.join(missing)}", where=where, fix=fix)


@contextlib.contextmanager
def _few_modules(where: str) -> Iterator[None]:
    """Stop the building of a network that a small number in a file has made endless or far too large.

    Raises:
        anyloom.errors.ConfigError: It has more than ``modules`` (:mod:`anyloom.limits`), or its parameters do not fit
            into memory.
    """
    from torch.nn.modules.module import (
        register_module_module_registration_hook,
        register_module_parameter_registration_hook,
    )

    most, made = limit("modules"), itertools.count(1)
    memory, taken = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), 0

    def count(*_: Any) -> None:
        if next(made) > most:
            fix = "make it smaller, or set ANYLOOM_LIMITS=modules=..."
            raise ConfigError(f"more than {most:,} modules are built", where=where, fix=fix)

    def weigh(_: Any, name: str, parameter: Any) -> None:
        """Called before its values are drawn: until then the system has given no memory for them."""
        nonlocal taken
        if parameter is not None and parameter.device.type == "cpu":
            taken += parameter.numel() * parameter.element_size()
        if taken > memory:
            what = f"its parameters take more than the {memory / 1e9:,.0f} GB of this machine, of which {name!r} takes "
            what += f"{parameter.numel() * parameter.element_size() / 1e9:,.1f} GB"
            raise ConfigError(what, where=where, fix="make it smaller")

    handles = (
        register_module_module_registration_hook(count),
        register_module_parameter_registration_hook(weigh),
    )
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # what torch raises has no class of its own
        if not (isinstance(error, MemoryError) or any(word in str(error) for word in _TOO_LARGE)):
            raise
        what = f"one of its tensors does not fit into memory ({' '.join(str(error).split())[:120]})"
        raise ConfigError(what, where=where, fix="make it smaller") from error
    finally:
        for handle in handles:
            handle.remove()


def build_named(kind: str, options: Any, /, *, where: str, **more: Any) -> Any:
    """Build from a config's ``{name: ..., **options}``; see :func:`build`.

    >>> projector = build_named("projector", {"name": "mlp", "hidden_dim": 8}, where="model.p", in_dim=4, out_dim=6)
    >>> type(projector).__name__
    'MLPProjector'
    """
    name, rest = split_name(options, where=where)
    return build(kind, name, rest, where=where, **more)
