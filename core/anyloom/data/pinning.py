"""Page-locked memory, from which a GPU copies while it computes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["pinned"]


def pinned(value: Any) -> Any:
    """Return a batch with its tensors in page-locked memory: tensors in dataclasses, mappings, lists and tuples.

    >>> pinned({"text": "stays as it is", "numbers": [1, 2]})
    {'text': 'stays as it is', 'numbers': [1, 2]}
    """
    if isinstance(value, torch.Tensor):
        return value.pin_memory() if value.device.type == "cpu" else value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (f.name for f in dataclasses.fields(value) if f.init)
        return dataclasses.replace(value, **{name: pinned(getattr(value, name)) for name in fields})
    if isinstance(value, Mapping):
        return {key: pinned(part) for key, part in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(pinned(part) for part in value)
    return value
