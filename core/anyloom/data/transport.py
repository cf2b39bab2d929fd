"""Results from a worker to the training process: one message, and one block of memory for all arrays in it.

Sharing every tensor by itself takes a file, a thread and a handshake for each; a batch has dozens, most of them small.
A block that nobody has a tensor of any more is filled again: to get new memory from the system takes longer than to
copy a batch into it.
"""

from __future__ import annotations

import mmap
import os
import pickle
import weakref
from collections.abc import Iterable, Sequence
from io import BytesIO
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

__all__ = ["Receiver", "Sender"]

_ALIGNED: Final = 64
_SMALL: Final = 1 << 16
"""Bytes that go through the connection itself."""

_SPARE: Final = 2
"""Blocks that are kept to be filled again."""

Freed = tuple[int, bool]
"""Number of a block that the receiver has no tensor of any more, and whether it may be filled again."""


class Sender:
    """The worker's end.

    Args:
        connection: To the receiver.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lent: dict[int, mmap.mmap] = {}
        self._free: dict[int, mmap.mmap] = {}
        self._dropped: list[int] = []
        self._made = 0

    def send(self, value: Any) -> None:
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
        if total > _SMALL and hasattr(os, "memfd_create"):
            self._by_block(written.getvalue(), pieces, ends)
            return
        self._say(written.getvalue(), pieces, None)
        if total:
            block = bytearray(total)
            _fill(memoryview(block), pieces, ends)
            self._connection.send_bytes(block)

    @property
    def blocks(self) -> int:
        """How many blocks there are, filled or free."""
        return len(self._lent) + len(self._free)

    def take_back(self, freed: Iterable[Freed]) -> None:
        """Take blocks back that :meth:`Receiver.freed` has given."""
        for number, again in freed:
            block = self._lent.pop(number)
            if again:
                self._free[number] = block
            else:
                self._drop(number, block)
        while len(self._free) > _SPARE:
            number = min(self._free, key=lambda n: len(self._free[n]))
            self._drop(number, self._free.pop(number))

    def _by_block(self, content: bytes, pieces: Sequence[memoryview], ends: Sequence[int]) -> None:
        total = ends[-1]
        fit = [n for n, block in self._free.items() if len(block) >= total]
        if fit:
            number = min(fit, key=lambda n: len(self._free[n]))
            block = self._lent[number] = self._free.pop(number)
            self._fill_block(block, pieces, ends)
            self._say(content, pieces, (number, 0))
            return
        number, self._made = self._made, self._made + 1
        size = (
            1 << (total - 1).bit_length()
        )  # so that the next, a little larger, fits too; untouched pages take nothing
        file = os.memfd_create("batch")
        try:
            os.truncate(file, size)
            block = self._lent[number] = mmap.mmap(file, size)
            self._fill_block(block, pieces, ends)
            self._say(content, pieces, (number, size))
            send_handle(self._connection, file, None)
        finally:
            os.close(file)

    def _say(self, content: bytes, pieces: Sequence[memoryview], block: tuple[int, int] | None) -> None:
        self._connection.send_bytes(pickle.dumps((content, [p.nbytes for p in pieces], block, self._dropped)))
        self._dropped = []

    def _drop(self, number: int, block: mmap.mmap) -> None:
        block.close()
        self._dropped.append(number)

    @staticmethod
    def _fill_block(block: mmap.mmap, pieces: Sequence[memoryview], ends: Sequence[int]) -> None:
        with memoryview(block) as view:
            _fill(view, pieces, ends)


class Receiver:
    """The training process's end.

    Args:
        connection: To the sender.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._blocks: dict[int, mmap.mmap] = {}
        self._watched: dict[int, weakref.ref[Any]] = {}
        self._freed: list[Freed] = []

    def receive(self) -> Any:
        """Return the value that comes next. Its tensors may be written to; their memory does not need the sender.

        Raises:
            EOFError: The sender has ended.
        """
        content, sizes, block, dropped = pickle.loads(self._connection.recv_bytes())
        for number in dropped:
            self._blocks.pop(number, None)
        ends = _ends(sizes)
        if not ends or not ends[-1]:
            return pickle.loads(content, buffers=[b""] * len(sizes))
        view = memoryview(bytearray(self._connection.recv_bytes()) if block is None else self._lent(*block))
        return pickle.loads(content, buffers=[view[end - size : end] for end, size in zip(ends, sizes)])

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return len(self._blocks)

    def freed(self) -> list[Freed]:
        """Return the blocks that no tensor lies in any more, once each; the sender may fill them again."""
        found = self._freed[:]
        del self._freed[: len(found)]
        return found

    def _lent(self, number: int, size: int) -> Any:
        """The bytes of a block. What looks at them keeps them alive; when nothing does, the block is free."""
        if size:
            self._blocks[number] = _mapped(self._connection, size)
        whole = np.frombuffer(self._blocks[number], np.uint8)
        forks, freed, watched = _FORKS[0], self._freed, self._watched

        def free(_: object) -> None:
            watched.pop(number, None)
            # a process that was forked meanwhile may still look at it
            freed.append((number, forks == _FORKS[0]))

        self._watched[number] = weakref.ref(whole, free)
        return whole


_FORKS: Final = [0]
"""How often this process has been forked."""


def _count_fork() -> None:
    _FORKS[0] += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_count_fork)


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
