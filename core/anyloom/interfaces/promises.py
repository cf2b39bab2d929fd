"""What components promise, looked at where the framework calls them: a breach names who broke which promise.

Only types and shapes are compared, so nothing waits for a device.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.discovery import get_registry
from anyloom.errors import PluginError

__all__ = ["made_media", "origin", "row_losses", "shaped", "tensor"]


def origin(component: object) -> str:
    """Name a component for people: kind, name, package and version, or its class where no plugin registers it.

    >>> origin(3)
    'builtins.int'
    """
    cls = type(component)
    target = f"{cls.__module__}:{cls.__qualname__}"
    for spec in get_registry().components(None):
        if spec.target == target:
            return f"{spec.kind} {spec.name!r} of {spec.package} {spec.version}"
    top = cls.__module__.partition(".")[0]
    for package in importlib.metadata.packages_distributions().get(top, [])[:1]:
        return f"{cls.__module__}.{cls.__qualname__} of {package} {importlib.metadata.version(package)}"
    return f"{cls.__module__}.{cls.__qualname__}"


def shaped(given: Any, shape: Sequence[int], component: object, method: str) -> Tensor:
    """Return a tensor that a component gave, if it has the promised shape.

    Raises:
        anyloom.errors.PluginError: It is another shape, or no tensor.

    >>> import torch
    >>> try:
    ...     shaped(torch.zeros(2, 3), (2, 4), object(), "forward")
    ... except PluginError as error:
    ...     print(error.what)
    forward() promises a tensor (2, 4), and returned one of (2, 3)
    """
    value = tensor(given, component, method)
    if tuple(value.shape) != tuple(shape):
        raise _broken(f"a tensor {tuple(shape)}", f"one of {tuple(value.shape)}", component, method)
    return value


def tensor(given: Any, component: object, method: str) -> Tensor:
    """Return what a component gave, if it is a tensor ``(...)`` of any shape.

    Raises:
        anyloom.errors.PluginError: It is something else.

    >>> try:
    ...     tensor([1.0], object(), "preprocess")
    ... except PluginError as error:
    ...     print(error.what)
    preprocess() promises a tensor, and returned a list
    """
    if not isinstance(given, Tensor):
        raise _broken("a tensor", f"a {type(given).__name__}", component, method)
    return given


def row_losses(given: Any, rows: int, component: object) -> Tensor:
    """Return a loss for each of some rows ``(B,)``, if it is that.

    >>> import torch
    >>> row_losses(torch.zeros(2), 2, object())
    tensor([0., 0.])
    """
    return shaped(given, (rows,), component, "forward")


def made_media(given: Any, count: int, component: object) -> list[Media]:
    """Return the media that a decoder made, if they are as many as were asked for.

    Raises:
        anyloom.errors.PluginError: They are not, or something else.

    >>> len(made_media([Media("picture", key="a")], 1, object()))
    1
    """
    wanted = f"a list of {count} media"
    if not isinstance(given, list | tuple):
        raise _broken(wanted, f"a {type(given).__name__}", component, "generate")
    if wrong := [type(one).__name__ for one in given if not isinstance(one, Media)]:
        raise _broken(wanted, f"a {wrong[0]} among them", component, "generate")
    if len(given) != count:
        raise _broken(wanted, f"{len(given)}", component, "generate")
    return list(given)


def _broken(promised: str, found: str, component: object, method: str) -> PluginError:
    return PluginError(
        f"{method}() promises {promised}, and returned {found}",
        where=origin(component),
        fix="tell its authors; 'anyloom plugins check NAME' tries what a component promises",
    )
