"""Reading in a process of its own, with a deadline and a limit of memory: a decoder that hangs or crashes ends there.

The process is started when it is first needed and read from after that; one that is lost is started again. Requests and
answers are JSON, tensors come as safetensors: nothing that comes back can run code here.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import safetensors.torch
from torch import Tensor

import anyloom.errors
from anyloom.errors import AnyloomError, ConfigError, MediaError

__all__ = ["VARIABLE", "Isolation", "ask", "isolation_by_default", "reading_apart"]

VARIABLE: Final = "ANYLOOM_MEDIA_ISOLATION"
"""Environment variable: limits that hold for every command and program, such as ``seconds=30,megabytes=4096``."""

_START_SECONDS: Final = 300.0


@dataclass(frozen=True)
class Isolation:
    """Limits of a process that reads media.

    Args:
        seconds: Deadline of one file.
        megabytes: Memory that reading one file may take (where the system can limit it).

    >>> Isolation(seconds=5).megabytes
    4096
    """

    seconds: float = 30.0
    megabytes: int = 4096

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and self.megabytes > 0):
            raise MediaError(f"seconds and megabytes must be positive, got {self}", where="Isolation")


_DEFAULT: Final[ContextVar[Isolation | None]] = ContextVar("isolation", default=None)


@contextmanager
def reading_apart(isolation: Isolation | None) -> Iterator[None]:
    """Let all media that are opened or made meanwhile be read in a process of their own.

    Args:
        isolation: The limits; None changes nothing.

    >>> with reading_apart(Isolation(seconds=5)):
    ...     isolation_by_default()
    Isolation(seconds=5, megabytes=4096)
    """
    token = _DEFAULT.set(isolation or _DEFAULT.get())
    try:
        yield
    finally:
        _DEFAULT.reset(token)


def isolation_by_default() -> Isolation | None:
    """The limits of :func:`reading_apart`, or of :data:`VARIABLE`; None without either.

    Raises:
        anyloom.errors.ConfigError: The variable is not written as it should be.
    """
    return _DEFAULT.get() or _given(os.environ.get(VARIABLE, ""))


@functools.cache
def _given(text: str) -> Isolation | None:
    """The limits that a text names; None if it is empty."""
    if not text.strip():
        return None
    limits: dict[str, float] = {}
    for name, _, number in (entry.strip().partition("=") for entry in text.split(",")):
        try:
            limits[name] = float(number)
        except ValueError:
            limits[name] = -1.0
        if name not in ("seconds", "megabytes") or not 0 < limits[name] < 1e9:
            fix = "write for example seconds=30,megabytes=4096"
            raise ConfigError(f"{name}={number!r:.40} is no limit", where=VARIABLE, fix=fix)
    own = Isolation()
    return Isolation(limits.get("seconds", own.seconds), max(int(limits.get("megabytes", own.megabytes)), 1))


def ask(
    do: str, modality: str, path: str, isolation: Isolation, **more: Any
) -> tuple[Mapping[str, Any], Tensor | None]:
    """Let the reading process do something with a file.

    Args:
        do: ``read``, ``meta``, ``length``, ``sample`` or ``note``.
        modality: Name of a registered modality; its plugin is imported there, not here.
        path: The file.
        isolation: The limits.
        more: Further values of the request: ``options``, ``steps``, ``side``.

    Returns:
        What it answers, and the tensor if there is one.

    Raises:
        anyloom.errors.AnyloomError: What the reader says; or that it took too long, took too much memory or crashed.
    """
    with _lock:
        child = _child(isolation.megabytes)
        request = {"do": do, "modality": modality, "path": path, **more}
        return child.answer(request, isolation.seconds)


class _Child:
    """One reading process, with the limit of memory it was started with."""

    def __init__(self, megabytes: int) -> None:
        self.owner, self.megabytes, self.late = os.getpid(), megabytes, False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "anyloom.media.child", str(megabytes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            self._timed(_START_SECONDS, self._line)  # it says that it is ready; imports are not part of a file's time
        except EOFError as error:
            raise self._lost("the process that reads media", _START_SECONDS) from error

    def answer(self, request: Mapping[str, Any], seconds: float) -> tuple[Mapping[str, Any], Tensor | None]:
        where, tensor = str(request["path"]), None
        try:
            self._pipe(self.process.stdin).write(json.dumps(request).encode() + b"\n")
            self._pipe(self.process.stdin).flush()
            head, content = self._timed(seconds, self._message)
        except (OSError, ValueError, EOFError) as error:
            raise self._lost(where, seconds) from error
        if "error" in head:
            raise _error(head["error"], where)
        if content:
            tensor = safetensors.torch.load(content)["data"]
        return head, tensor

    def _message(self) -> tuple[dict[str, Any], bytes]:
        head = self._line()
        content = self._pipe(self.process.stdout).read(int(head.get("bytes", 0)))
        if len(content) < head.get("bytes", 0):
            raise EOFError
        return head, content

    def _line(self) -> dict[str, Any]:
        line = self._pipe(self.process.stdout).readline()
        if not line:
            raise EOFError
        value: dict[str, Any] = json.loads(line)
        return value

    def _timed(self, seconds: float, read: Any) -> Any:
        """Read, and end the process when the time is up, which ends the reading."""

        def end() -> None:
            self.late = True
            self.process.kill()

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            return read()
        finally:
            timer.cancel()

    def _lost(self, where: str, seconds: float) -> MediaError:
        self.close()
        if self.late:
            what = f"reading it took more than {seconds:g} s"
            return MediaError(what, where=where, fix="the file is broken: leave it out", reason="too slow")
        code = self.process.returncode or 0
        how = signal.Signals(-code).name if code < 0 else f"status {code}"
        what = f"its reader crashed ({how})"
        return MediaError(what, where=where, fix="the file is broken: leave it out", reason="crashed")

    def close(self) -> None:
        """End the process, if this process started it."""
        if self.owner != os.getpid():
            return
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                self._pipe(pipe).close()
            except OSError:  # what was still to be written to a process that is gone
                continue

    @property
    def alive(self) -> bool:
        return self.owner == os.getpid() and self.process.poll() is None

    @staticmethod
    def _pipe(pipe: Any) -> BinaryIO:
        assert pipe is not None, "the process was started with pipes"
        stream: BinaryIO = pipe
        return stream


_lock: Final = threading.Lock()
_children: Final[dict[int, _Child]] = {}


def _child(megabytes: int) -> _Child:
    """The reading process with this limit; a forked worker has one of its own."""
    child = _children.get(megabytes)
    if child is None or not child.alive:
        if child is not None:
            child.close()
        child = _children[megabytes] = _Child(megabytes)
    return child


@atexit.register
def _close() -> None:
    for child in _children.values():
        child.close()


def _error(value: Mapping[str, Any], where: str) -> AnyloomError:
    kind = getattr(anyloom.errors, value.get("kind", ""), None)
    known = isinstance(kind, type) and issubclass(kind, AnyloomError) and kind.__init__ is AnyloomError.__init__
    make = kind if known and isinstance(kind, type) else MediaError
    error: AnyloomError = make(value.get("what", ""), where=value.get("where") or where, fix=value.get("fix", ""))
    if isinstance(error, MediaError):
        error.reason = value.get("reason")
    return error
