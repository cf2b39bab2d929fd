"""From ``package.module:Name`` to the object."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

from anyloom.discovery.guarding import prints_to_stderr
from anyloom.errors import PluginError

__all__ = ["how_to_install", "import_function", "import_object", "is_class_path", "missing_modules"]

_CLASS_PATH: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def is_class_path(name: str) -> bool:
    """Whether a name has the form ``package.module.Class``.

    >>> is_class_path("my_package.encoders.Tiny"), is_class_path("tiny-2.1")
    (True, False)
    """
    return _CLASS_PATH.fullmatch(name) is not None


def import_function(target: str, *, label: str) -> Callable[..., Any]:
    """Import a function, such as that of a command.

    Raises:
        anyloom.errors.PluginError: It cannot be imported or called.

    >>> import_function("math:sqrt", label="an example")(9.0)
    3.0
    """
    function = import_object(target, label=label)
    if not callable(function):
        raise PluginError(f"{target} ({label}) is not a function")
    return function  # type: ignore[no-any-return]


def import_object(target: str, *, label: str, where: str = "") -> Any:
    """Import what ``package.module:Name`` names.

    Args:
        target: ``package.module:Name``.
        label: Who names it, for errors.
        where: YAML key, for errors.

    Raises:
        anyloom.errors.PluginError: It cannot be imported.

    >>> import_object("math:pi", label="an example")
    3.141592653589793
    >>> try:
    ...     import_object("math:pie", label="an example")
    ... except PluginError as error:
    ...     print(error)
    math:pie (an example) cannot be imported: module 'math' has no attribute 'pie'
    """
    module, _, attribute = target.partition(":")
    try:
        with prints_to_stderr():
            return getattr(importlib.import_module(module), attribute)
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # SystemExit too: a module that is imported does not end the command
        cause = str(error) if isinstance(error, (ImportError, AttributeError)) else f"{type(error).__name__}: {error}"
        raise PluginError(f"{target} ({label}) cannot be imported: {cause}", where=where) from error


def missing_modules(modules: Iterable[str]) -> list[str]:
    """Return those top-level modules that cannot be imported; nothing is imported to find out.

    >>> missing_modules(["json", "no_such_module"])
    ['no_such_module']
    """
    return [name for name in modules if name not in sys.modules and importlib.util.find_spec(name) is None]


def how_to_install(modules: Iterable[str], package: str) -> str:
    """Return the pip command that brings modules: the smallest extra of the package that asks for one, if any does.

    >>> how_to_install(["no_such_module"], "anyloom")
    'pip install no_such_module'
    """
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
