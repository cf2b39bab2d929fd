"""An answer in a thread of its own, so that a page can show how far it is and stop it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass

from anyloom.errors import AnyloomError
from anyloom.generation.events import Event
from anyloom.generation.previews import watching_previews
from anyloom.interfaces.progress import watching_progress
from anyloom_chat.talk import Kept

__all__ = ["Answering", "Progress", "Stopped", "in_thread"]


@dataclass(frozen=True)
class Progress:
    """Steps of a decoder."""

    done: int
    total: int


class Stopped(Exception):  # noqa: N818 - no error
    """The user stopped the answer."""


Answering = Generator[Event | Kept, None, None]


def in_thread(
    answer: Callable[[], Answering], stop: threading.Event, *, previews: bool = False
) -> Iterator[Event | Kept | Progress]:
    """Yield the events of an answer, and its progress, while another thread makes it.

    Args:
        answer: Begins the answer; called in the other thread.
        stop: Once it is set, the answer ends at the next step and its turn is taken back.
        previews: Also yield looks at media while they are made.

    Raises:
        Stopped: It was stopped.
        anyloom.errors.AnyloomError: As the answer raises.
    """
    events: queue.Queue[Event | Kept | Progress | BaseException | None] = queue.Queue()

    def watch(done: int, total: int) -> None:
        if stop.is_set():
            raise Stopped
        events.put(Progress(done, total))

    def work() -> None:
        try:
            looking = watching_previews(events.put) if previews else nullcontext()
            with watching_progress(watch), looking, closing(answer()) as made:
                for event in made:
                    events.put(event)
                    if stop.is_set() and not isinstance(event, Kept):
                        raise Stopped
            events.put(None)
        except BaseException as error:  # handed to whoever waits
            events.put(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        while (event := events.get()) is not None:
            if isinstance(event, Stopped | AnyloomError):
                raise event
            if isinstance(event, BaseException):
                raise RuntimeError("the answer failed") from event
            yield event
    finally:
        stop.set()  # a page that is left needs no answer
        worker.join()
