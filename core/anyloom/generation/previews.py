"""Looks at media while they are made. They change nothing of the result; nothing is made unless somebody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from anyloom.conversation.segments import Media
from anyloom.errors import ConfigError
from anyloom.generation.events import MediumPreviewed
from anyloom.interfaces.progress import watching_looks

__all__ = ["previewed_as", "watching_previews"]


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
    if type(every) is not int or every < 1:
        raise ConfigError(f"{every!r:.40} steps lie between no two looks", where="every", fix="give a number from 1")
    token = _WATCH.set(_Watch(watcher, every))
    try:
        yield
    finally:
        _WATCH.reset(token)


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
