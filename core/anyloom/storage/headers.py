"""What a safetensors file says it holds, read with limits and without a tensor being made.

The layout is safetensors' own: eight bytes of length (little endian), that many bytes of JSON, then the values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from anyloom.errors import CheckpointError
from anyloom.limits import limit
from anyloom.storage.hashes import inside
from anyloom.storage.json_text import json_value, read_json

__all__ = ["TensorDescription", "describe", "headers_only", "reading_headers", "tensor_files"]

_INDEX: Final = "model.safetensors.index.json"
_TYPES: Final = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16, "U16": torch.uint16,
    "I32": torch.int32, "U32": torch.uint32, "I64": torch.int64, "U64": torch.uint64, "F16": torch.float16,
    "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64, "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip
_ONLY_HEADERS: ContextVar[bool] = ContextVar("headers_only", default=False)


@dataclass(frozen=True)
class TensorDescription:
    """Type and shape of a stored tensor."""

    dtype: torch.dtype
    shape: tuple[int, ...]


@contextmanager
def reading_headers() -> Iterator[None]:
    """Let :func:`anyloom.storage.tensors.read_tensors` give meta tensors, and ``load_into`` compare without loading.

    >>> headers_only()
    False
    >>> with reading_headers():
    ...     headers_only()
    True
    """
    token = _ONLY_HEADERS.set(True)
    try:
        yield
    finally:
        _ONLY_HEADERS.reset(token)


def headers_only() -> bool:
    """Whether this is inside :func:`reading_headers`."""
    return _ONLY_HEADERS.get()


def describe(file: Path) -> dict[str, TensorDescription]:
    """Type and shape of every tensor of a safetensors file.

    Raises:
        anyloom.errors.CheckpointError: It is not there, truncated, or not safetensors.

    >>> import tempfile
    >>> from safetensors.torch import save_file
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_file({"w": torch.zeros(2, 3)}, Path(folder) / "a.safetensors")
    ...     describe(Path(folder) / "a.safetensors")["w"].shape
    (2, 3)
    """
    if not file.is_file():
        what = "this is a folder, not a file of weights" if file.is_dir() else "there are no weights here"
        raise CheckpointError(what, where=str(file), fix="check the path in the config")
    try:
        header, values = _header(file)
        return {name: _description(entry, values) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error) or type(error).__name__
        raise CheckpointError(
            f"the file is truncated or not safetensors ({reason})", where=str(file), fix="fetch or write it again"
        ) from error


def tensor_files(path: Path) -> dict[Path, frozenset[str] | None]:
    """The safetensors files that ``path`` stands for, with the names that an index says are in each.

    Args:
        path: One file, or a folder with ``model.safetensors`` or an index of shards.

    Raises:
        anyloom.errors.CheckpointError: The index is broken, or names a file that is not in the folder.

    >>> tensor_files(Path("a.safetensors"))
    {PosixPath('a.safetensors'): None}
    """
    index = path / _INDEX
    if not index.is_file():
        return {path / "model.safetensors" if path.is_dir() else path: None}
    what, fix = "not an index of weights", "fetch the folder again"
    try:
        table: Any = read_json(index, what=what, fix=fix, most=limit("header-bytes"))["weight_map"]
        shards: dict[str, set[str]] = {}
        for name, shard in table.items():
            if not isinstance(shard, str) or not inside(shard):
                raise ValueError(f"{shard!r} is no file of this folder")
            shards.setdefault(shard, set()).add(name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{what} ({type(error).__name__}: {error})", where=str(index), fix=fix) from error
    if not shards:
        raise CheckpointError("the index names no tensor", where=str(index), fix="fetch the folder again")
    return {path / shard: frozenset(names) for shard, names in sorted(shards.items())}


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """The JSON header, and the number of bytes after it."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > size - 8:
            raise ValueError(f"the header does not fit into {size} bytes")
        if length > limit("header-bytes"):
            raise ValueError(f"a header of {length} bytes")
        header = json_value(stream.read(length), pairs=_without_doubles)
    if not isinstance(header, dict):
        raise TypeError("the header is no table of tensors")
    return header, size - 8 - length


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a name stands twice in the header")
    return table


def _description(entry: dict[str, Any], values: int) -> TensorDescription:
    """Read one entry; its bytes must be there and as many as its shape says."""
    shape, (begin, end), stored = tuple(entry["shape"]), entry["data_offsets"], str(entry["dtype"])
    if stored not in _TYPES:
        raise ValueError(f"values of type {stored} are not supported")
    dtype = _TYPES[stored]
    if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)) or end > values:
        raise ValueError("an entry of the header points outside the file")
    if math.prod(shape) * dtype.itemsize != end - begin:
        raise ValueError(f"{end - begin} bytes for the shape {shape}")
    return TensorDescription(dtype, shape)
