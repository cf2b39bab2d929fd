"""One medium's features as a file: a safetensors file that says whose they are, with a check sum."""

from __future__ import annotations

import zlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

__all__ = ["BrokenEntryError", "as_bytes", "read_entry"]


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
    return save({"row": row}, {"name": name, "crc32": _check_sum(row)})


def read_entry(path: Path, name: str) -> Tensor:
    """Return the row of an entry, memory-mapped.

    Raises:
        FileNotFoundError: There is none.
        BrokenEntryError: The file is truncated or changed, or is the entry of another name.
    """
    try:
        with safe_open(path, "pt") as file:
            about: dict[str, str] = file.metadata() or {}
            row: Tensor = file.get_tensor("row")
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError) as error:
        raise BrokenEntryError(f"{path}: {error}") from error
    if about.get("name") != name or about.get("crc32") != _check_sum(row):
        raise BrokenEntryError(f"{path}: not what was written")
    return row


def _check_sum(row: Tensor) -> str:
    return f"{zlib.crc32(row.flatten().view(torch.uint8).numpy().data):08x}"
