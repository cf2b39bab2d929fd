"""A conversation that goes on: what has been read stays read.

A session keeps the cache of keys and values of everything that stands in its conversation. A new turn is compared with
what was read, position by position, and only what differs is read: usually the new tokens and media alone. Media that
the model made go back as the features they were made from. Taking a turn back, or asking it differently, crops the
cache.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import torch

from anyloom.conversation.alike import reads_alike
from anyloom.conversation.segments import Conversation, Media, Message, Segment
from anyloom.errors import ConversationError
from anyloom.generation.answer import Answer, MadeMedium
from anyloom.generation.decoding import decode
from anyloom.generation.engine import Engine
from anyloom.generation.events import Event, Finished, MediumBegun, MediumMade, TextMade
from anyloom.generation.generate import check_options, message_of, new_answer
from anyloom.generation.options import GenerationOptions, checked_seeds
from anyloom.generation.previews import check_every, with_previews
from anyloom.generation.reading import Reading, read, read_on
from anyloom.network.network import Network
from anyloom.options import validate
from anyloom.sequence.interleave import Interleaved, Run
from anyloom.sequence.seeds import seed_of
from anyloom.storage.sharded import gathered_parameters

__all__ = ["Session"]

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What a tokenizer writes for bytes that are not a whole character yet."""


class Session:
    """One conversation with one model.

    Args:
        network: The model; in evaluation mode while it answers.
        messages: What was said before.
        seed: Turn n draws from this and n, so that a session replays.
        options: How to answer, unless a turn says otherwise; see :class:`GenerationOptions`.
    """

    def __init__(self, network: Network, messages: Sequence[Message] = (), *, seed: int = 0, **options: Any) -> None:
        self.network, self.seed, self.options = network, checked_seeds(seed, 1)[0], options
        self.messages: list[Message] = list(Conversation(messages).messages)
        self.positions_read = 0
        self._reading: Reading | None = None
        self._ids: list[int] = []
        self._runs: dict[int, Media] = {}

    @property
    def conversation(self) -> Conversation:
        """Everything said so far."""
        return Conversation(self.messages)

    @property
    def anew(self) -> bool:
        """Whether the next turn reads the whole conversation, because nothing of it is in the cache."""
        return self._reading is None

    def forget(self) -> None:
        """Empty the cache: the next turn reads the whole conversation."""
        self._reading = None

    def turn_seed(self) -> int:
        """What the next answer draws from, unless it is given a seed."""
        turn = 1 + sum(m.role == "user" for m in self.messages)
        return seed_of(self.seed, "session", turn)

    def say(self, *segments: Segment | str, seed: int | None = None, **options: Any) -> Message:
        """Say something and return the answer.

        Args:
            segments: Text and media of the user's message.
            seed: What this answer draws from; by default :meth:`turn_seed`.
            options: Of this turn.

        Raises:
            anyloom.errors.ConversationError: Nothing was said, or it does not fit the model.
        """
        with closing(self.stream(*segments, seed=seed, **options)) as events:
            for event in events:
                if isinstance(event, Finished):
                    return event.message
        raise AssertionError("an answer always ends")

    def stream(
        self, *segments: Segment | str, seed: int | None = None, previews: int = 0, **options: Any
    ) -> Generator[Event, None, None]:
        """Say something and watch the answer come. Closing the stream takes the turn back.

        Args:
            segments: Text and media of the user's message.
            seed: What this answer draws from; by default :meth:`turn_seed`.
            previews: Every how many steps of a decoder a small look at its media comes; 0 for never.
            options: Of this turn.

        Raises:
            anyloom.errors.AnyloomError: Nothing was said, it does not fit the model, or an option is wrong.
        """
        if not segments:
            raise ConversationError("nothing was said", where="session", fix="give text or media")
        chosen = validate(GenerationOptions, {**self.options, **options}, where="session")
        check_options(self.network, chosen)
        if previews != 0:
            check_every(previews, where="previews")
        drawn = self.turn_seed() if seed is None else checked_seeds(seed, 1)[0]
        self.messages.append(Message("user", segments))
        finished = False
        try:
            with closing(self._answer(chosen, drawn, previews)) as events:
                for event in events:
                    if isinstance(event, Finished):
                        self.messages.append(event.message)
                        finished = True
                    yield event
        finally:
            if not finished:
                self.messages.pop()

    def undo(self) -> None:
        """Take the last turn back: the last question and its answer."""
        spoken = [n for n, m in enumerate(self.messages) if m.role == "user"]
        if not spoken:
            raise ConversationError("there is no turn to take back", where="session")
        del self.messages[spoken[-1] :]

    def retry(self, **options: Any) -> Message:
        """Ask the last question again, with another seed."""
        spoken = [n for n, m in enumerate(self.messages) if m.role == "user"]
        if not spoken:
            raise ConversationError("there is no question to ask again", where="session")
        self.seed += 1
        return self._instead(spoken[-1], self.messages[spoken[-1]].segments, options)

    def edit(self, turn: int, *segments: Segment | str, **options: Any) -> Message:
        """Say something else in an earlier turn, counted from 0; what came after it is forgotten."""
        spoken = [n for n, m in enumerate(self.messages) if m.role == "user"]
        if not isinstance(turn, int) or not 0 <= turn < len(spoken):
            raise ConversationError(
                f"there is no turn {turn!r:.40}",
                where="session",
                fix=f"turns are 0..{len(spoken) - 1}" if spoken else "say something first",
            )
        return self._instead(spoken[turn], segments, options)

    def _instead(self, start: int, segments: Sequence[Segment | str], options: Mapping[str, Any]) -> Message:
        """Say something in the place of a message and of all after it; without an answer, they stay."""
        kept = list(self.messages)
        del self.messages[start:]
        try:
            return self.say(*segments, **options)
        except BaseException:
            self.messages = kept
            raise

    def _answer(self, options: GenerationOptions, seed: int, previews: int) -> Generator[Event, None, None]:
        conversation = self.conversation
        training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad(), gathered_parameters(self.network):
                yield from self._events(conversation, options, seed, previews)
        finally:
            self.network.train(training)

    def _events(
        self, conversation: Conversation, options: GenerationOptions, seed: int, previews: int
    ) -> Iterator[Event]:
        prompt = self.network.interleaver()(conversation, open_answer=True)
        answer = new_answer(self.network, conversation, seed, options)
        engine = Engine(self.network)
        engine.add([answer], self._read(prompt))
        watch = _Watch(self.network, answer, previews)
        while engine.answers:
            engine.step()
            yield from watch.look()
        yield from watch.rest()
        message = message_of(self.network, answer, watch.made)
        self._remember(prompt, answer, message, engine.finished[0][1])
        yield Finished(message)

    def _read(self, prompt: Interleaved) -> Reading:
        """Read what of a prompt has not been read."""
        known = self._known(prompt)
        reading, self._reading = self._reading, None  # an answer that breaks off leaves nothing to go on from
        self.positions_read += len(prompt) - known
        if reading is None or known == 0:
            return read(self.network, [prompt])
        return read_on(self.network, reading.cropped(known), prompt, known)

    def _known(self, prompt: Interleaved) -> int:
        """How many positions of a prompt are in the cache; at least its last one is read again."""
        ids = prompt.ids.tolist()
        same = next((n for n, (a, b) in enumerate(zip(ids, self._ids)) if a != b), min(len(ids), len(self._ids)))
        same = min(same, len(ids) - 1)
        for run in prompt.runs:
            end = run.start + run.length
            if run.start - 1 < same and (end > same or not _in_cache(self._runs.get(run.start), run)):
                return run.start - 1  # before the begin tag: a run is in the cache as a whole or not at all
        return same

    def _remember(self, prompt: Interleaved, answer: Answer, message: Message, reading: Reading) -> None:
        """Keep what has been read, and which media stand in it."""
        self._reading = reading
        self._reading.before = [answer.before]
        self._ids = [*prompt.ids.tolist(), *answer.fed]
        self._runs = {run.start: run.media for run in prompt.runs}
        begins = {tags.begin for tags in self.network.tags.values()}
        starts = [n + 1 for n in range(len(prompt), len(self._ids)) if self._ids[n] in begins]
        self._runs |= dict(zip(starts, message.media, strict=True))


def _in_cache(known: Media | None, run: Run) -> bool:
    """Whether a run holds the medium that was read there."""
    return known is not None and reads_alike(known, run.media)


class _Watch:
    """Sees what an answer has got since it was last looked at."""

    def __init__(self, network: Network, answer: Answer, previews: int) -> None:
        self.network, self.answer, self.previews = network, answer, previews
        self.made: dict[int, Media] = {}
        self._begun: set[int] = set()
        self._text: dict[int, str] = {}
        # Coupled media are made together, so none can be made before the answer is over.
        self._wait = bool(network.config.couple)

    def look(self) -> Iterator[Event]:
        """Events since the last look."""
        for n, segment in enumerate(self.answer.segments):
            if isinstance(segment, MadeMedium):
                yield from self._medium(n, segment)
            else:
                yield from self._piece(n, segment, whole=n + 1 < len(self.answer.segments) or self.answer.done)

    def _medium(self, n: int, segment: MadeMedium) -> Iterator[Event]:
        if n not in self._begun:
            self._begun.add(n)
            yield MediumBegun(n, segment.modality)
        if segment.features is not None and n not in self.made and not self._wait:
            self.made = yield from self._decoded()
            yield MediumMade(n, self.made[n])

    def _piece(self, n: int, ids: Sequence[int], *, whole: bool) -> Iterator[Event]:
        text = self.network.llm.tokenizer.decode(ids)
        before = self._text.get(n, "")
        if not whole and text.endswith(_UNFINISHED):
            return
        if len(text) > len(before):
            self._text[n] = text
            yield TextMade(n, text[len(before) :])

    def rest(self) -> Iterator[Event]:
        """Media that had to wait for the end."""
        before = set(self.made)
        self.made = yield from self._decoded()
        for n in sorted(self.made.keys() - before):
            yield MediumMade(n, self.made[n])

    def _decoded(self) -> Generator[Event, None, dict[int, Media]]:
        """The media of the answer so far; meanwhile looks at them, where they are asked for."""

        def make() -> dict[int, Media]:
            return decode(self.network, [self.answer], [self.made])[0]

        return (yield from with_previews(make, every=self.previews)) if self.previews else make()
