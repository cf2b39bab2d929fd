"""One answer that somebody waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from anyloom.conversation import Conversation, Media, Message
from anyloom.generation.answer import Answer, MadeMedium
from anyloom.generation.events import Event, Finished, MediumBegun, MediumMade, TextMade
from anyloom.generation.generate import message_of
from anyloom.generation.options import GenerationOptions
from anyloom.network.network import Network

__all__ = ["Failed", "Job", "MadeSoFar"]

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer writes for bytes that are not a whole character yet."""


@dataclass(frozen=True)
class Failed:
    """The answer could not be made.

    Args:
        error: Why.
    """

    error: BaseException


@dataclass(frozen=True)
class MadeSoFar(MediumMade):
    """A medium is there, and with it the answer up to it.

    Args:
        so_far: The answer; its last segment is the medium.
    """

    so_far: Message


@dataclass
class Job:
    """What is asked, how far the answer is, and whom to tell.

    Args:
        conversation: The prompt.
        options: How to answer.
        seed: Of the answer.
        emit: Called from the worker's thread with each event; the last is :class:`Finished` or :class:`Failed`.
        answer: The answer in the making, once it has begun.
        made: Its media by segment.
        age: Steps since its oldest medium that waits for a decoder was predicted.
    """

    conversation: Conversation
    options: GenerationOptions
    seed: int
    emit: Callable[[Event | Failed], None]
    answer: Answer | None = None
    made: dict[int, Media] = field(default_factory=dict)
    age: int = 0
    left: threading.Event = field(default_factory=threading.Event)
    over: bool = False
    _sent: dict[int, int] = field(default_factory=dict)
    _begun: set[int] = field(default_factory=set)
    _shown: set[int] = field(default_factory=set)

    def cancel(self) -> None:
        """Say that nobody waits any more; the worker forgets the answer before its next step."""
        self.left.set()

    @property
    def undecoded(self) -> bool:
        """Whether a medium has been predicted and not been made."""
        if self.answer is None:
            return False
        segments = enumerate(self.answer.segments)
        return any(isinstance(s, MadeMedium) and s.features is not None and n not in self.made for n, s in segments)

    def tell(self, network: Network) -> None:
        """Send what is new of the answer. What was sent before it was begun again is not sent twice."""
        assert self.answer is not None
        last = len(self.answer.segments) - 1
        for n, segment in enumerate(self.answer.segments):
            if isinstance(segment, MadeMedium):
                self._tell_medium(network, n, segment)
                continue
            text = network.llm.tokenizer.decode(segment)
            whole = n < last or self.answer.done
            if (whole or not text.endswith(_UNFINISHED)) and len(text) > self._sent.get(n, 0):
                self.emit(TextMade(n, text[self._sent.get(n, 0) :]))
                self._sent[n] = len(text)

    def _tell_medium(self, network: Network, n: int, segment: MadeMedium) -> None:
        if n not in self._begun:
            self._begun.add(n)
            self.emit(MediumBegun(n, segment.modality))
        if n in self.made and n not in self._shown:
            self._shown.add(n)
            assert self.answer is not None
            self.emit(MadeSoFar(n, self.made[n], message_of(network, self.answer, self.made, n + 1)))

    def finish(self, network: Network) -> None:
        """Send the whole message."""
        assert self.answer is not None
        self.over = True
        self.emit(Finished(message_of(network, self.answer, self.made)))

    def fail(self, error: BaseException) -> None:
        """Send why there is no answer."""
        self.over = True
        self.emit(Failed(error))
