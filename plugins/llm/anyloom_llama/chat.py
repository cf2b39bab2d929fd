"""A conversation as a chat template writes it, and where in that text each message and each answer stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from anyloom.errors import ConversationError
from anyloom_llama.bounded_template import BoundedTemplate
from anyloom_llama.bounded_tokenizer import tokenized
from anyloom_llama.reason import reason

__all__ = ["PLAIN_TEMPLATE", "Answer", "ChatTemplate", "Rendered", "unused_character"]

PLAIN_TEMPLATE: Final = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}\n{% endfor %}"
)
"""For tokenizers without a chat template of their own."""

_Turn = tuple[str, str]
"""Role and text."""


@dataclass(frozen=True)
class Answer:
    """An assistant message in the text.

    Args:
        start: Where the model takes over: behind what a template writes to ask for an answer.
        end: Behind the token that ends the turn.
        ends_itself: Whether the template writes such a token; if not, it belongs at ``end``.
    """

    start: int
    end: int
    ends_itself: bool


@dataclass(frozen=True)
class Rendered:
    """A conversation as one text.

    Args:
        text: The text.
        contents: Place ``(start, end)`` of each message's own text, by number of the message.
        answers: Assistant messages by number.
    """

    text: str
    contents: dict[int, tuple[int, int]]
    answers: dict[int, Answer]


class ChatTemplate:
    """A tokenizer's chat template.

    Args:
        backend: The transformers tokenizer.
        source: Jinja template that replaces the tokenizer's own.

    Attributes:
        end: Text of the token that ends an assistant's turn: what the template writes there, else end of sequence.
    """

    def __init__(self, backend: Any, source: str | None = None) -> None:
        self.backend = backend
        own = backend.chat_template
        own = own.get("default") if isinstance(own, dict) else own  # the others are for tools and such
        self.source: str = source or own or _plain(backend)
        self._compiled: BoundedTemplate | None = None
        self._known: dict[tuple[tuple[str, ...], bool], list[tuple[str, int]]] = {}
        self._invitation = self._find_invitation()
        self.end = self._find_end()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}, "_compiled": None}

    def render(self, turns: Sequence[_Turn], *, open_answer: bool = False) -> Rendered:
        """Write a conversation.

        Args:
            turns: Role and text of each message.
            open_answer: End where an assistant is to answer.

        Raises:
            anyloom.errors.ConversationError: The template refuses these roles, or does more to a message's text than
                to strip it.
        """
        if open_answer and not self._invitation:
            # The template does not know how to ask for an answer: begin one, and cut it off where its text would be.
            mark = unused_character(text for _, text in turns)
            rendered = self.render([*turns, ("assistant", mark)])
            contents = {n: place for n, place in rendered.contents.items() if n < len(turns)}
            answers = {n: answer for n, answer in rendered.answers.items() if n < len(turns)}
            return Rendered(rendered.text[: rendered.answers[len(turns)].start], contents, answers)
        text = self._apply(turns, open_answer)
        try:
            contents = self._places(text, turns, open_answer)
        except ConversationError:
            self._known.clear()  # a template may write today's date, which was another when its markup was read
            contents = self._places(text, turns, open_answer)
        answers = {n: self._answer(text, n, contents) for n, (role, _) in enumerate(turns) if role == "assistant"}
        return Rendered(text, contents, answers)

    def _apply(self, turns: Sequence[_Turn], open_answer: bool) -> str:
        messages = [{"role": role, "content": text} for role, text in turns]
        try:
            self._compiled = self._compiled or BoundedTemplate(self.source)
            given = {"tools": None, "documents": None, **self.backend.special_tokens_map}
            return self._compiled.render(messages=messages, add_generation_prompt=open_answer, **given)
        except Exception as error:  # templates raise what they like
            raise ConversationError(
                f"the chat template refuses the roles {', '.join(r for r, _ in turns)} ({reason(error)})",
                fix="start with user, then alternate",
            ) from error

    def _markup(self, turns: Sequence[_Turn], open_answer: bool) -> list[tuple[str, int]]:
        """What the template writes before each message, with the message's number, in the order of the text.

        Last comes what stands behind all messages, with the number -1.
        """
        key = (tuple(role for role, _ in turns), open_answer)
        if key not in self._known:
            marks = [f"\x02{n}\x03" for n in range(len(turns))]
            text = self._apply([(role, mark) for (role, _), mark in zip(turns, marks)], open_answer)
            found = sorted((text.find(mark), n) for n, mark in enumerate(marks))
            if any(at < 0 or text.count(marks[n]) != 1 for at, n in found):
                raise ConversationError(
                    f"the chat template drops or repeats messages of the roles {', '.join(key[0])}",
                    fix="set 'chat_template' to one that keeps every message",
                )
            pieces, done = [], 0
            for at, n in found:
                pieces.append((text[done:at], n))
                done = at + len(marks[n])
            self._known[key] = [*pieces, (text[done:], -1)]
        return self._known[key]

    def _places(self, text: str, turns: Sequence[_Turn], open_answer: bool) -> dict[int, tuple[int, int]]:
        markup = self._markup(turns, open_answer)
        places, at = {}, len(markup[0][0])
        for (_, n), (behind, _) in pairwise(markup):
            # A template may strip a message; of two readings, the one counts that the markup follows.
            written = next((v for v in _variants(turns[n][1]) if text.startswith(v + behind, at)), None)
            if written is None:
                raise ConversationError(
                    "the chat template changes the text of a message",
                    where=f"messages[{n}]",
                    fix="set 'chat_template' to one that writes messages as they are",
                )
            places[n] = (at, at + len(written))
            at += len(written) + len(behind)
        if not text.startswith(markup[0][0]) or at != len(text):
            raise ConversationError(
                "the chat template writes something else around these messages than around others",
                fix="set 'chat_template' to one that looks at roles alone",
            )
        return places

    def _answer(self, text: str, number: int, contents: dict[int, tuple[int, int]]) -> Answer:
        start, end = contents[number]
        before = max((e for _, e in contents.values() if e <= start and (_, e) != (start, end)), default=0)
        behind = min((s for s, _ in contents.values() if s >= end and (s, _) != (start, end)), default=len(text))
        invited = text.rfind(self._invitation, before, start) if self._invitation else -1
        opened = invited + len(self._invitation) if invited >= 0 else before + len(text[before:start].rstrip(" "))
        first = next(iter(self._tokens(text[end:behind])), None)
        if first is None or first[1] != self.end:
            return Answer(opened, end, ends_itself=False)
        return Answer(opened, end + first[0] + len(self.end), ends_itself=True)

    def _find_invitation(self) -> str:
        """What the template writes to ask for an answer, empty if it does not know how to."""
        turns = [("user", "a")]
        plain, inviting = self._apply(turns, False), self._apply(turns, True)
        return inviting.removeprefix(plain) if inviting.startswith(plain) else ""

    def _find_end(self) -> str:
        behind, _ = self._markup([("user", ""), ("assistant", "")], False)[-1]
        first = next(iter(self._tokens(behind)), None)
        return str(self.backend.eos_token) if first is None else first[1]

    def _tokens(self, markup: str) -> Iterator[tuple[int, str]]:
        """Tokens of their own in markup, with their places, from the left; of several at a place, the longest."""
        found = [(markup.find(token), -len(token), token) for token in self.backend.added_tokens_encoder]
        yield from ((at, token) for at, _, token in sorted(found) if at >= 0)


def _plain(backend: Any) -> str:
    """The plain template, behind the token that the tokenizer itself puts before a text."""
    first = tokenized(backend, "a", add_special_tokens=True)["input_ids"][:1]
    begins = backend.bos_token_id is not None and first == [backend.bos_token_id]
    return "{{ bos_token }}" + PLAIN_TEMPLATE if begins else PLAIN_TEMPLATE


def _variants(text: str) -> list[str]:
    return [text, text.rstrip(), text.lstrip(), text.strip()]


def unused_character(texts: Iterable[str]) -> str:
    """A private-use character that no text holds."""
    used = {character for text in texts for character in text}
    return next(chr(c) for c in range(0xE000, 0xF8FF) if chr(c) not in used)
