"""What can be said beside the conversation: lines that begin with a slash."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from typing import Any, Protocol

from anyloom.config.yaml_text import parse_yaml
from anyloom.conversation import Message, Text
from anyloom.errors import ConversationError, nearest
from anyloom.generation.events import Event
from anyloom_chat.talk import Kept, Talk
from anyloom_chat.words import media_of, segments_of

__all__ = ["Orders", "Quit"]


class Quit(Exception):  # noqa: N818 - no error
    """The user leaves."""


class Shows(Protocol):
    """What shows answers; see :class:`anyloom_chat.terminal.Terminal`."""

    def say(self, text: str) -> None:
        """Print a line."""

    def answer(self, answer: Generator[Event | Kept, None, None]) -> None:
        """Show an answer while it comes."""


class Orders:
    """The orders; each method ``do_NAME`` is one, its first line the help.

    Args:
        talk: The conversation.
        terminal: Shows answers.
    """

    def __init__(self, talk: Talk, terminal: Shows) -> None:
        self.talk, self.terminal = talk, terminal
        self.showing_examples = False
        self._next: dict[str, Any] = {}

    @property
    def names(self) -> dict[str, str]:
        """Orders and what they do; ``/MODALITY`` for each that the model makes."""
        functions = inspect.getmembers(type(self), inspect.isfunction)
        own = {n.removeprefix("do_"): inspect.getdoc(f) or "" for n, f in functions if n.startswith("do_")}
        made = {name: f"the next answer begins with this: /{name} [TEXT AND FILES]" for name in self.talk.makes}
        return {**own, **made}

    def obey(self, line: str) -> None:
        """Do what a line says.

        Raises:
            anyloom.errors.ConversationError: There is no such order, or it cannot be done.
        """
        name, _, rest = line[1:].partition(" ")
        if name in self.talk.makes:
            self._force(name, rest.strip())
        elif name in self.names:
            getattr(self, f"do_{name}")(rest.strip())
        else:
            fix = nearest(name, self.names) or "/help lists all"
            raise ConversationError(f"there is no order /{name}", where="chat", fix=fix)

    def next_options(self) -> dict[str, Any]:
        """Options of the next turn alone."""
        options, self._next = self._next, {}
        return options

    def _force(self, modality: str, rest: str) -> None:
        self._next = {"media": {modality: "force"}}
        self._ask(rest, f"the next answer is one {modality}")

    def _ask(self, rest: str, otherwise: str) -> None:
        if rest:
            self.terminal.answer(self.talk.ask(segments_of(rest), **self.next_options()))
        else:
            self.terminal.say(otherwise)

    def do_help(self, rest: str) -> None:
        """list what can be said."""
        del rest
        for name, text in sorted(self.names.items()):
            self.terminal.say(f"/{name}: {text}")
        self.terminal.say("anything else is said to the model; paths of files are media, also dropped ones")

    def do_plan(self, rest: str) -> None:
        """what the next answer consists of, in order: /plan text image text audio."""
        if not rest:
            fix = f"for example /plan text {' '.join(self.talk.makes)}"
            raise ConversationError("a plan has segments", where="/plan", fix=fix)
        segments = rest.split()
        known = ["text", *self.talk.makes]
        for name in segments:
            if name not in known:
                raise ConversationError(f"the model does not make {name!r}", where="/plan", fix=f"it makes {known}")
        self._next = {"plan": segments}
        self.terminal.say(f"the next answer: {', '.join(segments)}")

    def do_undo(self, rest: str) -> None:
        """take the last turn back."""
        del rest
        self.talk.undo()
        self.terminal.say(f"{len(self.talk.turns)} turns stand")

    def do_retry(self, rest: str) -> None:
        """ask the last question again, with another seed."""
        del rest
        self.terminal.answer(self.talk.retry(**self.next_options()))

    def do_edit(self, rest: str) -> None:
        """say something else in an earlier turn: /edit N TEXT AND FILES; what came after it is taken back."""
        number, _, words = rest.partition(" ")
        if not number.isdecimal() or not words.strip():
            raise ConversationError("which turn, and what instead?", where="/edit", fix="/edit 1 make it grey")
        segments = segments_of(words.strip())
        self.talk.back_to(int(number) - 1)
        self.terminal.answer(self.talk.ask(segments, **self.next_options()))

    def do_examples(self, rest: str) -> None:
        """show pairs, before and after: /examples A.png A-after.png B.png B-after.png; then give a medium alone."""
        media = media_of(rest)
        if not media or len(media) % 2:
            fix = "/examples BEFORE AFTER [BEFORE AFTER ...]"
            raise ConversationError("examples are pairs of files", where="/examples", fix=fix)
        for before, after in zip(media[::2], media[1::2]):
            self.talk.show_example(before, after)
        self.showing_examples = True
        self.terminal.say(f"{len(media) // 2} pairs shown; now give a file")

    def do_turns(self, rest: str) -> None:
        """list the turns that stand."""
        del rest
        for number, (question, answer) in enumerate(self.talk.turns, 1):
            self.terminal.say(f"{number}. {_line(question)} -> {_line(answer)}")

    def do_save(self, rest: str) -> None:
        """say where the session is; it is written after every turn."""
        del rest
        self.talk.folder.save(standing=len(self.talk.session.messages))
        self.terminal.say(str(self.talk.folder.file))

    def do_seed(self, rest: str) -> None:
        """show the seed, or set it: /seed 7."""
        if rest:
            if not rest.isdecimal() or int(rest) >= 2**63:
                raise ConversationError(f"{rest!r} is no seed", where="/seed", fix="a whole number from 0")
            self.talk.session.seed = int(rest)
        self.terminal.say(f"seed {self.talk.session.seed}")

    def do_set(self, rest: str) -> None:
        """show options, or set one: /set temperature=0.7, /set image.guidance=2."""
        if rest:
            name, found, value = rest.partition("=")
            if not found:
                raise ConversationError("write NAME=VALUE", where="/set", fix="/set temperature=0.7")
            self.talk.set(name.strip(), parse_yaml(value, where="/set"))
        for name, value in self.talk.options.items():
            self.terminal.say(f"{name}: {value}")

    def do_quit(self, rest: str) -> None:
        """leave; so does Ctrl-D."""
        del rest
        raise Quit


def _line(message: Message) -> str:
    parts = (s.text if isinstance(s, Text) else f"[{s.modality}]" for s in message.segments)
    return " ".join(" ".join(parts).split())
