"""Looks at media while they are made. They change nothing of the result; nothing is made unless somebody watches."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Final, TypeVar

import torch

from anyloom.conversation.segments import Media
from anyloom.errors import ConfigError
from anyloom.generation.events import MediumPreviewed
from anyloom.interfaces.progress import watching_looks

__all__ = ["check_every", "previewed_as", "watching_previews", "with_previews"]

Made = TypeVar("Made")


@dataclass(frozen=True)
class _Watch:
    watcher: Callable[[MediumPreviewed], None]
    every: int


_WATCH: Final[ContextVar[_Watch | None]] = ContextVar("previews", default=None)


@contextmanager
def watching_previews(watcher: Callable[[MediumPreviewed], None], *, every: int = 2) -> Iterator[None]:
    """Call ``watcher`` with a small medium every few steps of decoders that run inside, in their thread.

    Decoders that cannot be looked at cheaply send nothing.

    Args:
        watcher: Gets the event.
        every: How many steps lie between two looks.

    Raises:
        anyloom.errors.ConfigError: ``every`` is no number from 1.

    >>> with watching_previews(print, every=4):
    ...     pass  # a decoder that runs here is watched
    """
    check_every(every, where="every")
    token = _WATCH.set(_Watch(watcher, every))
    try:
        yield
    finally:
        _WATCH.reset(token)


def check_every(every: int, *, where: str) -> None:
    """Refuse what is no number of steps.

    Raises:
        anyloom.errors.ConfigError: It is none.
    """
    if type(every) is not int or every < 1:
        raise ConfigError(f"{every!r:.40} steps lie between no two looks", where=where, fix="give a number from 1")


@contextmanager
def previewed_as(segments: Sequence[int]) -> Iterator[None]:
    """Let whoever watches see what a decoder makes inside.

    Args:
        segments: For each row of the call, the number of the segment that it becomes.
    """
    watch = _WATCH.get()
    if watch is None:
        yield
        return

    def look(done: int, total: int, make: Callable[[], Sequence[Media]]) -> None:
        if done % watch.every == 0:
            for segment, medium in zip(segments, make()):
                watch.watcher(MediumPreviewed(segment, medium, done, total))

    with watching_looks(look):
        yield


def with_previews(make: Callable[[], Made], *, every: int) -> Generator[MediumPreviewed, None, Made]:
    """Yield looks while decoders work, and return what they made. Closing it breaks them off at their next look.

    The decoders run in a thread of their own, whose end is awaited.

    Args:
        make: Calls the decoders.
        every: How many steps lie between two looks.

    Raises:
        Exception: As ``make`` raises.
    """
    events: queue.Queue[MediumPreviewed | None] = queue.Queue()
    left, made, failed = threading.Event(), list[Made](), list[BaseException]()

    def look(event: MediumPreviewed) -> None:
        if left.is_set():
            raise _NobodyLooksError
        events.put(event)

    def work() -> None:
        try:
            with torch.no_grad(), watching_previews(look, every=every):
                made.append(make())
        except BaseException as error:  # handed to whoever waits
            failed.append(error)
        events.put(None)

    thread = threading.Thread(target=copy_context().run, args=(work,), daemon=True)
    thread.start()
    try:
        while (event := events.get()) is not None:
            yield event
    finally:
        left.set()
        thread.join()
    if failed:
        raise failed[0]
    return made[0]


class _NobodyLooksError(Exception):
    """Whoever asked has left."""
