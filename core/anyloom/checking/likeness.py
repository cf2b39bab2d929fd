"""Components that differ in nothing but where their files are: one of them is looked at for all."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from anyloom.interfaces.component import NeuralComponent

__all__ = ["likeness"]


def likeness(component: NeuralComponent) -> Hashable:
    """Class, options but for ``weights`` and paths, shape and dtype of every tensor: equal for what computes alike.

    Meant for the meta device, where tensors hold no values. The stages of a config name the same decoder with the
    published weights, and later with those that an earlier stage has written.

    >>> from anyloom.building import build
    >>> likeness(build("encoder", "conv")) == likeness(build("encoder", "conv"))
    True
    """
    tensors = [(name, tuple(t.shape), t.dtype) for name, t in component.state_dict().items()]
    return (type(component), repr(_without_paths(getattr(component, "config", None))), tuple(tensors))


def _without_paths(value: Any) -> Any:
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields if name != "weights"}
    if isinstance(value, Mapping):
        return {key: _without_paths(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_paths(inner) for inner in value]
    return None if isinstance(value, Path) else value
