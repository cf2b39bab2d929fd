"""How far a decoder has come, for whoever watches: a bar in a terminal, a page in a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

__all__ = ["report_progress", "watching_progress"]

Watcher = Callable[[int, int], None]
_WATCHER: Final[ContextVar[Watcher | None]] = ContextVar("watcher", default=None)


@contextmanager
def watching_progress(watcher: Watcher) -> Iterator[None]:
    """Call ``watcher(done, total)`` after each step of a decoder that runs inside, in its thread.

    >>> with watching_progress(lambda done, total: print(f"{done}/{total}")):
    ...     report_progress(1, 4)
    1/4
    """
    token = _WATCHER.set(watcher)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def report_progress(done: int, total: int) -> None:
    """Tell whoever watches that ``done`` of ``total`` steps are over; for decoders that work in steps."""
    watcher = _WATCHER.get()
    if watcher is not None:
        watcher(done, total)
