"""Counters for Prometheus, under names that other servers of language models use. No request's content is in them."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from anyloom.generation.events import Event, Finished, MediumMade, TextMade

__all__ = ["Meters"]

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Meters:
    """All counters of one server.

    Args:
        load: Returns answers in the making, and requests that wait.
    """

    def __init__(self, load: Callable[[], tuple[int, int]]) -> None:
        self.registry = CollectorRegistry()
        more = {"registry": self.registry}
        self.requests = Counter("anyloom_requests", "Requests by route and status.", ("route", "status"), **more)  # type: ignore[arg-type]
        self.answers = Counter("anyloom_answers", "Answers by how they ended.", ("end",), **more)  # type: ignore[arg-type]
        self.media = Counter("anyloom_media", "Media made, by modality.", ("modality",), **more)  # type: ignore[arg-type]
        self.first_text = Histogram(
            "anyloom_time_to_first_token_seconds",
            "From request to first text.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.first_medium = Histogram(
            "anyloom_time_to_first_medium_seconds",
            "From request to first medium.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.whole = Histogram(
            "anyloom_answer_seconds", "From request to the answer's end.", buckets=_SECONDS, registry=self.registry
        )
        running = Gauge("anyloom_answers_running", "Answers in the making.", registry=self.registry)
        running.set_function(lambda: load()[0])
        waiting = Gauge("anyloom_requests_waiting", "Requests that wait for a place.", registry=self.registry)
        waiting.set_function(lambda: load()[1])

    def _seconds(self, name: str, what: str) -> Histogram:
        return Histogram(name, what, buckets=_SECONDS, registry=self.registry)

    def text(self) -> bytes:
        """Everything, in Prometheus's text format."""
        return generate_latest(self.registry)

    def answer(self) -> _Watch:
        """Watch one answer."""
        return _Watch(self)


class _Watch:
    def __init__(self, meters: Meters) -> None:
        self._meters, self._began = meters, time.monotonic()
        self._text = self._medium = False

    def saw(self, event: Event) -> None:
        """Count an event."""
        after = time.monotonic() - self._began
        if isinstance(event, TextMade) and not self._text:
            self._text = True
            self._meters.first_text.observe(after)
        elif isinstance(event, MediumMade):
            self._meters.media.labels(event.media.modality).inc()
            if not self._medium:
                self._medium = True
                self._meters.first_medium.observe(after)
        elif isinstance(event, Finished):
            self._meters.whole.observe(after)
            self._meters.answers.labels("finished").inc()

    def left(self) -> None:
        """Count a client that has left."""
        self._meters.answers.labels("left").inc()

    def failed(self) -> None:
        """Count a failure."""
        self._meters.answers.labels("failed").inc()
