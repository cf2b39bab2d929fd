"""What features depend on besides the media: weights, options, files, code and precision of what makes them."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from torch import nn

from anyloom.features.content import tensor_digest
from anyloom.interfaces.component import NeuralComponent
from anyloom.storage.content import piece_digest
from anyloom.storage.saved_part import split_part

__all__ = ["digest_of", "identity", "weights_digest"]

_TENSORS: Final = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx", ".gguf")
"""Files that are compared by the tensors that were loaded from them, wherever they lie."""

_ROOMS: Final = ("signal", "diffusion")
"""Rooms of the core whose code components prepare media with."""


def identity(component: NeuralComponent, weights: str, modality: str, precision: str) -> dict[str, Any]:
    """Return all that features of a component depend on besides the media, as plain values.

    Args:
        component: The encoder, or the decoder whose latents are kept.
        weights: :func:`weights_digest` of what makes them.
        modality: Of the media.
        precision: Of the run, such as ``bf16-mixed``.
    """
    cls = type(component)
    return {
        "component": f"{cls.__module__}.{cls.__qualname__}",
        "options": _options(component),
        "weights": weights,
        "modality": modality,
        "precision": precision,
        "code": _code_digest(cls),
        "versions": {name: version(name) for name in ("anyloom", "torch")},
    }


def digest_of(values: Mapping[str, Any]) -> str:
    """Hex SHA-256 of plain values.

    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def weights_digest(module: nn.Module) -> str:
    """Hex SHA-256 of all parameters and buffers, with their names; every process calls it if they are sharded.

    >>> layer = nn.Linear(2, 1)
    >>> before = weights_digest(layer)
    >>> _ = layer.bias.data.add_(1)
    >>> weights_digest(layer) == before
    False
    """
    named = sorted([*module.named_parameters(), *module.named_buffers()], key=lambda item: item[0])
    return digest_of({name: tensor_digest(tensor) for name, tensor in named})


def _options(component: NeuralComponent) -> dict[str, Any]:
    """The options, with what files hold in place of where they lie; ``freeze`` changes no feature."""
    options = component.config.model_dump(mode="python", exclude={"freeze"})
    read = {str(path) for path in component.weight_files()}
    nested = {name: _options(inner) for name, inner in component.nested().items()}
    return {**{name: _plain(value, read) for name, value in options.items()}, "nested": nested}


def _plain(value: Any, read: set[str]) -> Any:
    if isinstance(value, Path) or (isinstance(value, str) and value in read):
        return _files_digest(split_part(Path(value))[0])
    if isinstance(value, Mapping):
        return {str(k): _plain(v, read) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, read) for v in value]
    return value if value is None or isinstance(value, str | int | float | bool) else repr(value)


def _files_digest(path: Path) -> str:
    """What a file or folder holds besides tensors, such as a tokenizer."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path] * path.is_file()
    held = [p for p in files if p.suffix not in _TENSORS]
    return digest_of({str(p.relative_to(path)): piece_digest(p) for p in held})


def _code_digest(cls: type) -> str:
    """The source of the packages that a class and its bases come from; of the core, only what prepares media."""
    tops = {base.__module__.partition(".")[0] for base in cls.__mro__} - {"anyloom", "torch", "builtins", "abc"}
    core = Path(__file__).parents[1]
    places = [core / room for room in _ROOMS]
    for top in sorted(tops):
        file = getattr(sys.modules.get(top), "__file__", None)
        if file is not None:  # a class of a notebook or of a namespace package has no file of its own
            places.append(Path(file).parent if Path(file).name == "__init__.py" else Path(file))
    sources = [p for place in places for p in ([place] if place.is_file() else sorted(place.rglob("*.py")))]
    return digest_of({str(n): piece_digest(p) for n, p in enumerate(sources)})
