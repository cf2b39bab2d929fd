"""Guards the loading of plugins: what they do to their surroundings is noticed, undone where it can be, and named.

Plugins are loaded one after another by every command, also by one that only prints its help. So one of them must not be
able to write into a command's output, move its working folder, replace a function of Python or end the process.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from anyloom.discovery.surroundings import Surroundings
from anyloom.errors import ConfigError, PluginError
from anyloom.remarks import say

__all__ = ["LIMIT_VARIABLE", "Guard", "prints_to_stderr", "time_limit"]

LIMIT_VARIABLE: Final = "ANYLOOM_PLUGIN_SECONDS"
"""Environment variable: seconds after which the loading of one plugin is interrupted, 60 by default; 0 never does."""

_LIMIT: Final = 60.0
_NOTICE: Final = 5.0


class Guard:
    """Around the loading of all plugins; one :meth:`plugin` block around each.

    What plugins print goes to standard error with their names, so that ``--json`` stays JSON; that holds for Python's
    ``print`` and, where the system has memory files (Linux), for everything that writes to file descriptor 1. After
    five seconds a notice says who is being waited for. When the time is up, loading is interrupted by a signal and
    fails; that needs the main thread and a system with ``SIGALRM`` (not Windows), and cannot reach into a library that
    hangs in machine code. ``os._exit`` raises. What a plugin replaces is put back.

    Args:
        limit: Seconds until a plugin is interrupted; 0 for never.

    Attributes:
        interrupted: Whether the user has pressed Ctrl-C; a plugin may raise KeyboardInterrupt by itself.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.interrupted = False
        self._stack = contextlib.ExitStack()
        self._printed = io.StringIO()
        self._descriptor: int | None = None
        self._waiting: tuple[str, float] | None = None
        self._ended = threading.Event()
        self._in_main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Guard:
        """Begin to watch."""
        self._stack.enter_context(contextlib.redirect_stdout(self._printed))
        self._stack.enter_context(self._captured())
        self._stack.enter_context(self._signals())
        self._stack.enter_context(_no_exit())
        threading.Thread(target=self._notice, name="anyloom-notice", daemon=True).start()
        self._surroundings = Surroundings()
        return self

    def __exit__(self, *_: object) -> None:
        """Put everything back."""
        self._ended.set()
        self._stack.close()

    @contextlib.contextmanager
    def plugin(self, label: str, cure: str) -> Iterator[list[str]]:
        """Load one plugin inside this.

        Args:
            label: The plugin with its package and version.
            cure: What a user can do about it.

        Yields:
            What it does to its surroundings, a line each; complete when the block is left.

        Raises:
            anyloom.errors.PluginError: The time was up.
        """
        notes: list[str] = []
        self._waiting = (f"still loading the plugin {label} after {_NOTICE:g} s. To fix: {cure}", time.monotonic())
        self._cure = cure
        try:
            with self._alarm():
                yield notes
        finally:
            self._waiting = None
            if printed := self._taken():
                notes.append(f"prints while it is loaded, which it should not: {printed}")
            notes += self._surroundings.restored()

    @contextlib.contextmanager
    def _captured(self) -> Iterator[None]:
        """Lead file descriptor 1 into memory."""
        try:
            saved = os.dup(1)
        except OSError:  # it is closed
            yield
            return
        try:
            self._descriptor = os.memfd_create("anyloom")
            os.dup2(self._descriptor, 1)
        except (AttributeError, OSError):
            self._descriptor = None
        try:
            yield
        finally:
            os.dup2(saved, 1)
            os.close(saved)
            if self._descriptor is not None:
                os.close(self._descriptor)

    def _taken(self) -> str:
        """What has been printed since this was last asked, in one line."""
        text = self._printed.getvalue()
        self._printed.seek(0)
        self._printed.truncate()
        if self._descriptor is not None and (size := os.lseek(self._descriptor, 0, os.SEEK_END)):
            text += os.pread(self._descriptor, size, 0).decode(errors="replace")
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        return " ".join(text.split())

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Know a Ctrl-C of the user, and be woken when a plugin's time is up."""
        if not self._in_main:
            yield
            return

        def interrupt(*_: Any) -> None:
            self.interrupted = True
            raise KeyboardInterrupt

        def stop(*_: Any) -> None:
            fix = f"{self._cure}, or set {LIMIT_VARIABLE} higher"
            raise PluginError(f"loading was interrupted after {self.limit:g} s", fix=fix)

        handlers = {}
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            handlers[signal.SIGINT] = interrupt
        # somebody else's alarm stays theirs
        self._alarms = hasattr(signal, "setitimer") and self.limit > 0 and not signal.getitimer(signal.ITIMER_REAL)[0]
        if self._alarms:
            handlers[signal.SIGALRM] = stop
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def _alarm(self) -> Iterator[None]:
        if not (self._in_main and self._alarms):
            yield
            return
        # again each second, in case the plugin swallows the error
        signal.setitimer(signal.ITIMER_REAL, self.limit, 1.0)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _notice(self) -> None:
        """Say once who is being waited for."""
        told = None
        while not self._ended.wait(0.25):
            waiting = self._waiting
            if waiting is not None and waiting is not told and time.monotonic() - waiting[1] >= _NOTICE:
                told = waiting
                tell(waiting[0])


@contextlib.contextmanager
def _no_exit() -> Iterator[None]:
    """Let ``os._exit`` raise in this process; children that a plugin has forked may end as they like."""
    original, process = os._exit, os.getpid()

    def refuse(status: int) -> None:
        if os.getpid() != process:
            original(status)
        raise SystemExit(f"os._exit({status})")

    os._exit = refuse  # type: ignore[assignment]
    try:
        yield
    finally:
        os._exit = original


@contextlib.contextmanager
def prints_to_stderr() -> Iterator[None]:
    """Send what an import prints to standard error: standard output belongs to the command.

    >>> with prints_to_stderr():
    ...     print("from an import")
    """
    with contextlib.redirect_stdout(sys.stderr):
        yield


def time_limit() -> float:
    """Seconds that a plugin may take to load, from :data:`LIMIT_VARIABLE`.

    Raises:
        anyloom.errors.ConfigError: The variable holds no number.

    >>> time_limit() > 0
    True
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        return max(float(text), 0.0) if text else _LIMIT
    except ValueError:
        raise ConfigError(
            f"{text!r} is no number of seconds", where=LIMIT_VARIABLE, fix="give 60, for example"
        ) from None


def tell(text: str) -> None:
    """Print a note to standard error."""
    say(f"note: {text}")
