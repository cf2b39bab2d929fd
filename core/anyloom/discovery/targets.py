"""From ``package.module:Name`` to the object, checked against what its kind of component must be."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

from anyloom.discovery.guarding import prints_to_stderr
from anyloom.errors import PluginError

__all__ = ["how_to_install", "import_class", "import_function", "is_class_path", "missing_modules"]

_CLASS_PATH: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def is_class_path(name: str) -> bool:
    """Whether a name has the form ``package.module.Class``.

    >>> is_class_path("my_package.encoders.Tiny"), is_class_path("tiny-2.1")
    (True, False)
    """
    return _CLASS_PATH.fullmatch(name) is not None


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
    """
    from anyloom.interfaces import ComponentConfig, interface

    base: type[Any] = interface(kind)
    cls: Any = _import(target, label, where)
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


def import_function(target: str, *, label: str) -> Callable[..., Any]:
    """Import a function, such as that of a command.

    Raises:
        anyloom.errors.PluginError: It cannot be imported or called.
    """
    function = _import(target, label, "")
    if not callable(function):
        raise PluginError(f"{target} ({label}) is not a function")
    return function  # type: ignore[no-any-return]


def _import(target: str, label: str, where: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        with prints_to_stderr():
            return getattr(importlib.import_module(module), attribute)
    except Exception as error:
        cause = str(error) if isinstance(error, (ImportError, AttributeError)) else f"{type(error).__name__}: {error}"
        raise PluginError(f"{target} ({label}) cannot be imported: {cause}", where=where) from error


def missing_modules(modules: Iterable[str]) -> list[str]:
    """Return those top-level modules that cannot be imported; nothing is imported to find out."""
    return [name for name in modules if name not in sys.modules and importlib.util.find_spec(name) is None]


def how_to_install(modules: Iterable[str], package: str) -> str:
    """Return the pip command that brings modules: the smallest extra of the package that asks for one, if any does."""
    names = {name.lower() for name in modules}
    try:
        requirements = importlib.metadata.requires(package) or []
    except importlib.metadata.PackageNotFoundError:
        requirements = []
    extras: dict[str, set[str]] = {}
    for requirement in requirements:
        if found := re.match(r"([\w.-]+).*;.*extra\s*==\s*['\"]([\w.-]+)['\"]", requirement):
            extras.setdefault(found[2], set()).add(found[1].lower().replace("-", "_"))
    fitting = [extra for extra, brought in extras.items() if brought & names]
    if fitting:
        return f"pip install '{package}[{min(fitting, key=lambda extra: len(extras[extra]))}]'"
    return f"pip install {' '.join(sorted(names))}"
