"""Processes that do a reader's work. Results are asked for one by one, so that their order is the caller's."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import threading
import traceback
import weakref
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
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
    """Does the work in other processes, which live until :meth:`close`, or as long as this process.

    This process has no thread for it: to fork a process that has threads is not safe, and other loaders do fork.

    Args:
        reader: Does it; every process gets a copy.
        count: Number of processes.
    """

    def __init__(self, reader: Reader, count: int) -> None:
        self.count = count
        self._workers = [_Worker(reader) for _ in range(count)]
        self._end = weakref.finalize(self, _end_all, self._workers)

    def submit(self, work: str, *arguments: Any, **named: Any) -> Result:
        """Return the result to come of a method of the reader, from the worker that has least to do."""
        return min(self._workers, key=lambda worker: worker.waiting).submit(work, arguments, named)

    def close(self) -> None:
        """End the processes."""
        self._end()


class _Worker:
    """One process. It does its tasks in the order in which it gets them."""

    def __init__(self, reader: Reader) -> None:
        context = torch.multiprocessing.get_context()
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(reader, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._sent = self._received = 0
        self._results: dict[int, tuple[bool, Any]] = {}

    @property
    def waiting(self) -> int:
        """Tasks whose results have not come."""
        return self._sent - self._received

    def submit(self, work: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Result:
        """Send a task."""
        try:
            # plainly: tensors in tasks are small, and sharing their memory would start a thread in this process
            self._connection.send_bytes(pickle.dumps((work, arguments, named)))
        except OSError as error:
            raise _ended() from error
        number, self._sent = self._sent, self._sent + 1
        return _Later(lambda: self._result(number))

    def _result(self, number: int) -> Any:
        while number not in self._results:
            ready = wait([self._connection, self._process.sentinel])
            if self._connection not in ready:
                raise _ended()
            try:
                self._results[self._received] = pickle.loads(self._connection.recv_bytes())
            except (OSError, EOFError) as error:
                raise _ended() from error
            self._received += 1
        done, value = self._results.pop(number)
        if not done:
            raise value
        return value

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._connection.close()


def _end_all(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.end()


def _ended() -> AnyloomError:
    return AnyloomError(
        "a data worker was ended from outside, most often because memory ran out",
        where="data.workers",
        fix="use fewer workers, smaller batches or a smaller data.bucket",
    )


def _work(reader: Reader, connection: Connection) -> None:
    """What a worker does, until it is ended."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process is interrupted, and ends the workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the main process's own way to end
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    # tasks are taken at once: a main process that waits to send one could not take the results of others
    threading.Thread(target=_take, args=(connection, tasks), daemon=True).start()
    while True:
        work, arguments, named = pickle.loads(tasks.get())
        try:
            answer = True, getattr(reader, work)(*arguments, **named)
        except BaseException as error:
            answer = False, _portable(error)
        # what is read comes back to this or another worker, so plainly; batches stay in shared memory
        connection.send_bytes(pickle.dumps(answer) if work == "prepare" else ForkingPickler.dumps(answer))


def _take(connection: Connection, tasks: queue.SimpleQueue[bytes]) -> None:
    parent = torch.multiprocessing.parent_process()
    sentinels: list[Any] = [connection] if parent is None else [connection, parent.sentinel]
    while connection in wait(sentinels):
        try:
            tasks.put(connection.recv_bytes())
        except (OSError, EOFError):
            break
    os._exit(1)  # the main process is gone; killed, it could not say so


def _portable(error: BaseException) -> BaseException:
    """The error as it is if it can be sent, with its traceback as a note; a deliberate one needs none."""
    if not isinstance(error, AnyloomError):
        error.add_note("in a data worker:\n" + "".join(traceback.format_exception(error)))
    try:
        copied: BaseException = pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return copied
