"""Processes that do a reader's work. Results come as futures, so that the order is the caller's."""

from __future__ import annotations

import os
import signal
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

import torch
import torch.multiprocessing

from anyloom.data.reading import Reader
from anyloom.errors import AnyloomError

__all__ = ["Here", "Result", "Workers"]


class Result(Protocol):
    """Something that is being done."""

    def result(self) -> Any:
        """Return what was done, when it is done."""
        ...


class Here:
    """Does the work in this process, when its result is asked for.

    Args:
        reader: Does it.
    """

    count = 0

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def submit(self, work: str, *arguments: Any, **named: Any) -> Result:
        """Return the result to come of a method of the reader."""
        return _Later(lambda: getattr(self.reader, work)(*arguments, **named))

    def close(self) -> None:
        """Nothing is to be ended."""


class _Later:
    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work

    def result(self) -> Any:
        return self._work()


class Workers:
    """Does the work in other processes, which live until :meth:`close`.

    Args:
        reader: Does it; every process gets a copy.
        count: Number of processes.
    """

    def __init__(self, reader: Reader, count: int) -> None:
        self.count = count
        context = torch.multiprocessing.get_context()
        self._pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=(reader,))
        self._end = weakref.finalize(self, self._pool.shutdown, wait=False, cancel_futures=True)

    def submit(self, work: str, *arguments: Any, **named: Any) -> Result:
        """Return the result to come of a method of the reader."""
        return _Elsewhere(self._pool.submit(_do, work, arguments, named))

    def close(self) -> None:
        """End the processes when they have done what they are at."""
        self._end()


class _Elsewhere:
    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def result(self) -> Any:
        try:
            return self._future.result()
        except BrokenProcessPool as error:
            raise AnyloomError(
                "a data worker was ended from outside, most often because memory ran out",
                where="data.workers",
                fix="use fewer workers, smaller batches or a smaller data.bucket",
            ) from error


_reader: Reader | None = None


def _begin(reader: Reader) -> None:
    global _reader
    _reader = reader
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process is interrupted, and ends the workers
    parent = torch.multiprocessing.parent_process()
    if parent is not None:
        # a parent that is killed closes nothing: without this its workers would wait for work for ever
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _do(work: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return getattr(_reader, work)(*arguments, **named)
