"""Sample sets that can only be read one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from anyloom.data.mixture import Draw
from anyloom.data.reading import SampleSet
from anyloom.errors import BadRecord, ConfigError
from anyloom.interfaces.dataset import Sample, Stream

__all__ = ["StreamSet"]

_EVERY = 64
_KEPT = 128


class StreamSet(SampleSet):
    """A stream as a set of a mixture. Its places are numbered from 0, over all passes.

    Every process reads the whole stream and keeps its share. To go back a little, as packing and buckets need when a
    run goes on, states of the stream are kept.

    Args:
        name: Name of the set.
        build: Gives the stream.
    """

    def __init__(self, name: str, build: Callable[[int], Any]) -> None:
        super().__init__(name, build)
        self._stream: Stream | None = None
        self._samples: Iterator[Sample] = iter(())
        self._at = 0
        self._states: dict[int, dict[str, Any]] = {}

    def read(self, draw: Draw) -> Sample:
        """Return the sample of a place.

        Raises:
            anyloom.errors.ConfigError: The stream is empty, or the place lies further back than its states reach.
        """
        if self._stream is None:
            self._stream = self._begun()
            self._samples = iter(self._stream)
        if draw.index < self._at:
            self._go_back(self._stream, draw.index)
        while True:
            if self._at % _EVERY == 0:
                self._states[self._at] = self._stream.state_dict()
                for old in sorted(self._states)[:-_KEPT]:
                    del self._states[old]
            try:
                sample = self._next(self._stream)
            except BadRecord:
                self._at += 1  # the stream has moved on: the bad sample had this place
                if self._at > draw.index:
                    raise
                continue
            self._at += 1
            if self._at > draw.index:
                return sample

    def kept(self) -> dict[int, dict[str, Any]]:
        """Return the states that are kept, by place."""
        return dict(self._states)

    def load(self, state: dict[str, Any]) -> None:
        """Go on from one of the states.

        Args:
            state: ``at``, the place, and ``state``, that of the stream there; None for its beginning.
        """
        self._stream, self._at, self._states = self._begun(), state["at"], {}
        if state["state"] is not None:
            self._stream.load_state_dict(state["state"])
        self._samples = iter(self._stream)

    def _begun(self) -> Stream:
        stream: Any = self.build(0)
        assert isinstance(stream, Stream)
        return stream

    def _go_back(self, stream: Stream, place: int) -> None:
        earlier = [at for at in self._states if at <= place]
        if not earlier:
            raise ConfigError(
                f"sample {place} of a stream is asked for again, and cannot be reached",
                where=f"data.datasets.{self.name}",
                fix="use a smaller bucket or look-ahead, or a source with an index",
            )
        self._at = max(earlier)
        stream.load_state_dict(self._states[self._at])
        self._samples = iter(stream)

    def _next(self, stream: Stream) -> Sample:
        try:
            return next(self._samples)
        except StopIteration:
            self._samples = iter(stream)  # another pass
        try:
            return next(self._samples)
        except StopIteration:
            raise ConfigError("the stream is empty", where=f"data.datasets.{self.name}") from None
