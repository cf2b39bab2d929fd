"""Guards the loading of a plugin: what it prints is kept apart, and one that hangs is named and interrupted."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

from anyloom.errors import ConfigError, PluginError

__all__ = ["LIMIT_VARIABLE", "guarded", "prints_to_stderr", "time_limit"]

LIMIT_VARIABLE: Final = "ANYLOOM_PLUGIN_SECONDS"
"""Environment variable: seconds after which the loading of one plugin is interrupted, 60 by default; 0 never does."""

_LIMIT: Final = 60.0
_NOTICE: Final = 5.0


@contextlib.contextmanager
def guarded(plugin: str, cure: str, limit: float) -> Iterator[None]:
    """Load a plugin's module and call its hooks inside this.

    What it prints goes to standard error, with its name, so that ``--json`` stays JSON. After five seconds a notice on
    standard error says who is being waited for. When the time is up, loading is interrupted by a signal and fails;
    that needs the main thread and a system with ``SIGALRM`` (not Windows), and cannot reach into a library that hangs
    in machine code.

    Args:
        plugin: The plugin with its package and version.
        cure: What a user can do about it.
        limit: Seconds until it is interrupted; 0 for never.

    Raises:
        anyloom.errors.PluginError: The time was up.
    """
    timer = threading.Timer(_NOTICE, _tell, [f"still loading the plugin {plugin} after {_NOTICE:g} s. To fix: {cure}"])
    timer.daemon = True
    timer.start()
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), _interrupted(cure, limit):
            yield
    finally:
        timer.cancel()
        if text := " ".join(printed.getvalue().split()):
            _tell(f"the plugin {plugin} prints while it is loaded, which it should not: {text}")


@contextlib.contextmanager
def prints_to_stderr() -> Iterator[None]:
    """Send what an import prints to standard error: standard output belongs to the command."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


@contextlib.contextmanager
def _interrupted(cure: str, limit: float) -> Iterator[None]:
    possible = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not (limit and possible) or signal.getitimer(signal.ITIMER_REAL)[0]:  # somebody else's alarm stays theirs
        yield
        return

    def stop(*_: Any) -> None:
        raise PluginError(f"loading was interrupted after {limit:g} s", fix=f"{cure}, or set {LIMIT_VARIABLE} higher")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit, 1.0)  # again each second, in case the plugin swallows the error
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def time_limit() -> float:
    """Seconds that a plugin may take to load, from :data:`LIMIT_VARIABLE`.

    Raises:
        anyloom.errors.ConfigError: The variable holds no number.
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        return max(float(text), 0.0) if text else _LIMIT
    except ValueError:
        raise ConfigError(
            f"{text!r} is no number of seconds", where=LIMIT_VARIABLE, fix="give 60, for example"
        ) from None


def _tell(text: str) -> None:
    print(f"note: {text}", file=sys.stderr, flush=True)  # noqa: T201
