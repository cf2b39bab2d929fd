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
from typing import Any, Final, Protocol

import torch
import torch.multiprocessing

from anyloom.data.reading import Prepared, Reader
from anyloom.data.transport import Receiver, Sender
from anyloom.discovery.guarding import tell
from anyloom.errors import AnyloomError

__all__ = ["Here", "Result", "Workers"]

_MOST_TRIES: Final = 3
"""How often one task may end a worker before the run ends: then it is the task, not a chance from outside."""


class Result(Protocol):
    """Something that is being done."""

    def result(self) -> Any:
        """Return what was done, when it is done."""
        ...


class Here:
    """Does the work in this process, when its result is asked for.

    Args:
        reader: Does it.

    >>> from anyloom.conversation import Conversation
    >>> from anyloom.data.mixture import Draw
    >>> from anyloom.data.reading import SampleSet
    >>> from anyloom.interfaces import Sample
    >>> samples = [Sample(Conversation([]), "caption", key=key) for key in "ab"]
    >>> pool = Here(Reader([SampleSet("mine", lambda epoch: samples)], lambda batch: [s.key for s in batch]))
    >>> pool.submit("read", [Draw(0, 0, 0, 1, seed=3)]).result().batch
    ['b']
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

    This process has no thread for it: to fork a process that has threads is not safe, and other loaders do fork. A
    process that is ended from outside is replaced, and its tasks are done again: as what is read depends on the task
    alone, nothing is lost or comes twice.

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
        self._reader = reader
        self._sent = self._received = self._tries = 0
        self._tasks: dict[int, bytes] = {}  # those whose results have not come
        self._results: dict[int, tuple[bool, Any]] = {}
        self._start()

    def _start(self) -> None:
        context = torch.multiprocessing.get_context()
        self._connection, theirs = context.Pipe()
        self._receiver = Receiver(self._connection)
        self._process = context.Process(target=_work, args=(self._reader, theirs), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def waiting(self) -> int:
        """Tasks whose results have not come."""
        return self._sent - self._received

    def submit(self, work: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Result:
        """Send a task."""
        # plainly: tensors in tasks are small, and sharing their memory would start a thread in this process
        task = pickle.dumps((work, arguments, named))
        number, self._sent = self._sent, self._sent + 1
        self._tasks[number] = task
        try:
            self._give(task)
        except OSError:
            self._replace()
        return _Later(lambda: self._result(number))

    def _give(self, task: bytes) -> None:
        self._connection.send_bytes(pickle.dumps((task, self._receiver.freed())))

    def _result(self, number: int) -> Any:
        while number not in self._results:
            try:
                if self._connection not in wait([self._connection, self._process.sentinel]):
                    raise EOFError
                result = self._receiver.receive()
            except (OSError, EOFError):
                self._replace()
                continue
            self._results[self._received] = result
            del self._tasks[self._received]
            self._received, self._tries = self._received + 1, 0
        done, value = self._results.pop(number)
        if not done:
            raise value
        return value

    def _replace(self) -> None:
        """Start another process and send it what has not been done.

        Raises:
            anyloom.errors.AnyloomError: The task that is first has ended several.
        """
        while True:
            self.end()
            self._tries += 1
            if self._tries >= _MOST_TRIES:
                raise _ended(self._tasks.get(self._received), self._process.exitcode)
            tell(f"a data worker was ended from outside (status {self._process.exitcode}); another takes its place")
            self._start()
            try:
                for task in self._tasks.values():
                    self._give(task)
                return
            except OSError:
                continue

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()
        self._connection.close()


def _end_all(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.end()


def _ended(task: bytes | None, status: int | None) -> AnyloomError:
    """The error of a task that no worker survives, with the samples it is about."""
    names = _samples_of(pickle.loads(task)[1]) if task is not None else []
    which = f" while it read {', '.join(names[:4])}{' ...' if len(names) > 4 else ''}" if names else ""
    return AnyloomError(
        f"{_MOST_TRIES} data workers were ended from outside{which} (status {status})",
        where="data.workers",
        fix="where memory ran out, use fewer workers, smaller batches or a smaller data.bucket; where a decoder of "
        "media crashes, set data.media_isolation",
    )


def _samples_of(value: Any) -> list[str]:
    """Names of the samples among the arguments of a task: keys of what was prepared, else positions in the order."""
    if isinstance(value, list | tuple):
        return [name for item in value for name in _samples_of(item)]
    key = getattr(value, "key", None)
    position = getattr(value, "position", None)
    return [str(key)] if key is not None else [f"position {position}"] if position is not None else []


def _work(reader: Reader, connection: Connection) -> None:
    """What a worker does, until it is ended."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process is interrupted, and ends the workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # not the main process's own way to end
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    # tasks are taken at once: a main process that waits to send one could not take the results of others
    threading.Thread(target=_take, args=(connection, tasks), daemon=True).start()
    sender = Sender(connection)
    while True:
        task, freed = pickle.loads(tasks.get())
        work, arguments, named = pickle.loads(task)
        sender.take_back(freed)
        try:
            done = getattr(reader, work)(*arguments, **named)
            # what is read comes back to this or another worker: on the way nobody has to look at it
            sender.send(
                (True, [p.sealed() if isinstance(p, Prepared) else p for p in done] if work == "prepare" else done)
            )
        except BaseException as error:
            sender.send((False, _portable(error)))


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
