"""One medium's features as a file: a safetensors file that says whose they are, with a check sum."""

from __future__ import annotations

import mmap
import os
import zlib
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save
from torch import Tensor

from anyloom.storage.json_text import json_value

__all__ = ["BrokenEntryError", "as_bytes", "read_entry"]

_DTYPES: Final = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
}


class BrokenEntryError(ValueError):
    """A file is no whole entry, or that of another medium."""


def as_bytes(name: str, row: Tensor) -> bytes:
    """Return the file of a row of features or latents, on the CPU.

    >>> content = as_bytes("a", torch.ones(1, 4))
    >>> path = Path(__import__("tempfile").mkdtemp()) / "a"
    >>> _ = path.write_bytes(content)
    >>> read_entry(path, "a")
    tensor([[1., 1., 1., 1.]])
    """
    row = row.contiguous()
    values = row.flatten().view(torch.uint8).numpy().data
    return save({"row": row}, {"name": name, "crc32": _check_sum(values)})


def read_entry(path: Path, name: str) -> Tensor:
    """Return the row ``(L, D)`` of an entry.

    The file is mapped into memory, so that processes that read it share its pages, and its header is looked at here:
    that takes half of the time in which the library opens it, and there is one for each medium. The row lies in the
    mapped file until it is copied into a batch; what is written to it stays in this process.

    Raises:
        FileNotFoundError: There is none.
        BrokenEntryError: The file is truncated or changed, or is the entry of another name.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise BrokenEntryError(f"{path}: empty")
        content = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
    try:
        begin = 8 + int.from_bytes(content[:8], "little")
        header = json_value(content[8:begin])
        about, row = header["__metadata__"], header["row"]
        with memoryview(content) as whole, whole[begin:] as values:
            if about["name"] != name or about["crc32"] != _check_sum(values):
                raise BrokenEntryError(f"{path}: not what was written")
        return torch.frombuffer(content, dtype=_DTYPES[row["dtype"]], offset=begin).view(row["shape"])
    except BrokenEntryError:
        raise
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        raise BrokenEntryError(f"{path}: {error}") from error


def _check_sum(values: memoryview) -> str:
    return f"{zlib.crc32(values):08x}"
