"""How far a decoder has come, and what its media look like so far, for whoever watches: a terminal, a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from anyloom.conversation.segments import Media

__all__ = ["Looker", "report_look", "report_progress", "watching_looks", "watching_progress"]

Watcher = Callable[[int, int], None]
Looker = Callable[[int, int, Callable[[], Sequence[Media]]], None]
"""Takes steps that are done, steps in all, and what makes a cheap look at the media of all rows."""

_WATCHER: Final[ContextVar[Watcher | None]] = ContextVar("watcher", default=None)
_LOOKER: Final[ContextVar[Looker | None]] = ContextVar("looker", default=None)


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
    """Tell whoever watches that ``done`` of ``total`` steps are over; for decoders that work in steps.

    >>> report_progress(3, 10)  # nobody watches
    """
    watcher = _WATCHER.get()
    if watcher is not None:
        watcher(done, total)


@contextmanager
def watching_looks(looker: Looker | None) -> Iterator[None]:
    """Call ``looker(done, total, look)`` after each step but the last of a decoder that runs inside, in its thread.

    Nothing is made unless ``look()`` is called.

    >>> with watching_looks(lambda done, total, look: print(done, "of", total, look())):
    ...     report_look(3, 10, lambda: [])
    3 of 10 []
    """
    token = _LOOKER.set(looker)
    try:
        yield
    finally:
        _LOOKER.reset(token)


def report_look(done: int, total: int, look: Callable[[], Sequence[Media]]) -> None:
    """Offer a look at unfinished media; for decoders that work in steps.

    Args:
        done: Steps that are over.
        total: Of how many.
        look: Makes a medium for each row, or none where it cannot; draws no random numbers and changes nothing.

    >>> report_look(3, 10, lambda: [])  # nobody looks, so nothing is made
    """
    looker = _LOOKER.get()
    if looker is not None and done < total:
        looker(done, total, look)
