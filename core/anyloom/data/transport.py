"""Results from a worker to the training process: one message, and one block of memory for all arrays in it.

Sharing every tensor by itself takes a file, a thread and a handshake for each; a batch has dozens, most of them small.
"""

from __future__ import annotations

import mmap
import os
import pickle
from collections.abc import Sequence
from io import BytesIO
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any, Final

import torch
from torch import Tensor

__all__ = ["receive", "send"]

_ALIGNED: Final = 64
_SMALL: Final = 1 << 16
"""Bytes that go through the connection itself."""


def send(connection: Connection, value: Any) -> None:
    """Send a value: tensors and arrays in it apart from the rest.

    Raises:
        Exception: The value cannot be pickled; nothing has been sent then.
    """
    buffers: list[pickle.PickleBuffer] = []
    written = BytesIO()
    _Pickler(written, protocol=5, buffer_callback=buffers.append).dump(value)
    pieces = [b.raw() for b in buffers]
    ends = _ends([p.nbytes for p in pieces])
    total = ends[-1] if ends else 0
    shared = total > _SMALL and hasattr(os, "memfd_create")
    connection.send_bytes(pickle.dumps((written.getvalue(), [p.nbytes for p in pieces], shared)))
    if not shared:
        if total:
            block = bytearray(total)
            _fill(memoryview(block), pieces, ends)
            connection.send_bytes(block)
        return
    file = os.memfd_create("batch")
    try:
        os.truncate(file, total)
        with mmap.mmap(file, total) as memory, memoryview(memory) as view:
            _fill(view, pieces, ends)
        send_handle(connection, file, None)
    finally:
        os.close(file)


def receive(connection: Connection) -> Any:
    """Return the value that comes next. Its tensors may be written to; their memory does not need the sender.

    Raises:
        EOFError: The sender has ended.
    """
    content, sizes, shared = pickle.loads(connection.recv_bytes())
    ends = _ends(sizes)
    if not ends or not ends[-1]:
        return pickle.loads(content, buffers=[b""] * len(sizes))
    view = memoryview(_mapped(connection, ends[-1]) if shared else bytearray(connection.recv_bytes()))
    return pickle.loads(content, buffers=[view[end - size : end] for end, size in zip(ends, sizes)])


def _mapped(connection: Connection, size: int) -> mmap.mmap:
    try:
        file = recv_handle(connection)
    except RuntimeError as error:  # the sender ended before it
        raise EOFError from error
    try:
        return mmap.mmap(file, size)
    finally:
        os.close(file)


def _ends(sizes: Sequence[int]) -> list[int]:
    """Where each piece ends if every one begins at a multiple of the alignment."""
    ends: list[int] = []
    for size in sizes:
        begin = -(-ends[-1] // _ALIGNED) * _ALIGNED if ends else 0
        ends.append(begin + size)
    return ends


def _fill(view: memoryview, pieces: Sequence[memoryview], ends: Sequence[int]) -> None:
    for piece, end in zip(pieces, ends):
        view[end - piece.nbytes : end] = piece


class _Pickler(pickle.Pickler):
    """Keeps the values of plain tensors apart, in their order in memory."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not Tensor or value.layout is not torch.strided or value.device.type != "cpu":
            return NotImplemented
        strides = value.stride()
        order = sorted(range(value.ndim), key=lambda d: (-strides[d], d))
        dense = value.detach().permute(order)
        if value.requires_grad or value.is_quantized or value.is_conj() or value.is_neg() or not dense.is_contiguous():
            return NotImplemented
        numbers: Any = dense.reshape(-1).view(torch.uint8).numpy()
        back = sorted(range(value.ndim), key=order.__getitem__)
        return _tensor, (pickle.PickleBuffer(numbers), value.dtype, tuple(dense.shape), back)


def _tensor(values: Any, dtype: torch.dtype, shape: tuple[int, ...], order: list[int]) -> Tensor:
    """A tensor of bytes: its dimensions in their order in memory, and the order in which they are counted."""
    if not memoryview(values).nbytes:
        return torch.empty(shape, dtype=dtype).permute(order)
    return torch.frombuffer(values, dtype=dtype).view(shape).permute(order)
