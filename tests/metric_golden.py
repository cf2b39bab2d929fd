"""Reading of the reference numbers in tests/golden that metrics and extractors are tested against."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> dict[str, Any]:
    """The arrays of a file as tensors, its texts as JSON where they are JSON."""
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        return {key: _value(file[key]) for key in file.files}


def _value(array: np.ndarray) -> Any:
    if array.dtype.kind == "U":
        text = str(array)
        return json.loads(text) if text[:1] in "[{" else text
    return array.item() if array.ndim == 0 else torch.from_numpy(array)


def seeded(shapes: Mapping[str, Any], rule: Callable[[str, np.ndarray], np.ndarray]) -> dict[str, Tensor]:
    """Weights that depend on nothing but their names: see "Name-seeded weights" in golden/README.md."""
    weights = {}
    for key, shape in shapes.items():
        generator = np.random.RandomState(zlib.crc32(key.encode()) & 0xFFFFFFFF)
        weights[key] = torch.from_numpy(rule(key, generator.standard_normal(tuple(shape)).astype(np.float32)))
    return weights


def fan_in(values: np.ndarray, gain: float = 2.0) -> np.ndarray:
    """Scale ``(out, in, ...)`` by the root of gain / inputs."""
    return values * np.float32(np.sqrt(gain / np.prod(values.shape[1:])))
