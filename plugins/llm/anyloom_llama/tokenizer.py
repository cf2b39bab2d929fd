"""A tokenizer of transformers as the framework's Tokenizer.

A conversation is written by the chat template and tokenized as one text: its ids are those of ``apply_chat_template``.
The text is cut in two places only: where a medium stands, and inside what a user typed to look like a token of the
markup. Behind a cut, a tokenizer that puts a space before every text (Llama 1 and 2) is kept from doing so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from anyloom.conversation.segments import Media, Message, Text
from anyloom.errors import CheckpointError, ConversationError
from anyloom.interfaces import Piece, Tokenizer
from anyloom_llama.bounded_tokenizer import require_moderate, tokenized
from anyloom_llama.chat import ChatTemplate, Rendered, unused_character

__all__ = ["ChatTokenizer"]

_SPACES: Final = ("\u2581", "\u0120")
"""How SentencePiece and byte-level BPE spell a space at the beginning of a token."""
_ANCHORS: Final = ("\n", "a", ".", "1")
"""Texts to put before another one; in most vocabularies each merges with little of what may follow."""


@dataclass(frozen=True)
class _Unit:
    """One token, or a medium, and the characters ``[start, end)`` of the rendered text that it stands for.

    ``ends`` is the number of the answer that a token ends where the template does not write it.
    """

    start: int
    end: int
    id: int = -1
    media: Media | None = None
    ends: int | None = None


class ChatTokenizer(Tokenizer):
    """Wraps a transformers tokenizer.

    Args:
        backend: The transformers tokenizer.
        chat_template: Jinja template that replaces the tokenizer's own.

    Raises:
        anyloom.errors.CheckpointError: The tokenizer has no token that ends a text, cannot say which characters its
            tokens stand for, or makes texts many times longer.
        anyloom.errors.ConversationError: The template cannot write a question and its answer.
    """

    def __init__(self, backend: Any, chat_template: str | None = None) -> None:
        where = str(getattr(backend, "name_or_path", ""))
        if backend.eos_token is None:
            raise CheckpointError(
                "the tokenizer names no eos_token", where=where, fix="name one in its tokenizer_config.json"
            )
        if not backend.is_fast:
            raise CheckpointError(
                "the tokenizer has no tokenizer.json", where=where, fix="convert it with transformers' AutoTokenizer"
            )
        require_moderate(backend)
        self.backend, self.template = backend, ChatTemplate(backend, chat_template)
        self.size: int = len(backend)
        self.eos_id: int = backend.convert_tokens_to_ids(self.template.end)
        self.stop_ids: tuple[int, ...] = tuple(dict.fromkeys((self.eos_id, backend.eos_token_id)))
        self.pad_id: int = backend.eos_token_id if backend.pad_token_id is None else backend.pad_token_id
        first = backend.convert_ids_to_tokens(self._ids("a"))[:1]
        self._adds_space = bool(first) and first[0].startswith(_SPACES)
        self._reserved = self._markup_tokens()

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; spellings of special tokens are split into ordinary ones."""
        bounds = [0, *sorted(self._spelled(text, 0, len(text))), len(text)]
        return [unit.id for start, end in pairwise(bounds) for unit in self._chunk(text[start:end], start)]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; added and special tokens are left out."""
        return str(self.backend.decode([i for i in ids if i < self.size], skip_special_tokens=True))

    def render(self, messages: Sequence[Message], *, open_answer: bool = False) -> list[Piece]:
        """Pieces of a conversation; without its media, their ids are those of ``apply_chat_template``.

        Raises:
            anyloom.errors.ConversationError: The template refuses the roles, or does not write messages as they are.
        """
        if not messages:
            raise ConversationError("the conversation has no message", fix="begin with a user's")
        medium = unused_character(segment.text for m in messages for segment in m.segments if isinstance(segment, Text))
        turns = [(m.role, "".join(s.text if isinstance(s, Text) else medium for s in m.segments)) for m in messages]
        rendered = self.template.render(turns, open_answer=open_answer)
        media = [s for n, _ in _in_order(rendered) for s in messages[n].media]
        units = self._with_ends(rendered, list(self._units(rendered, medium, iter(media))))
        return _pieces(rendered, units, open_answer=open_answer)

    def special_ids(self) -> list[int]:
        """Special tokens of the tokenizer but those that end an answer."""
        return [i for i in self.backend.all_special_ids if i not in self.stop_ids]

    def _ids(self, text: str, **options: Any) -> list[int]:
        return list(tokenized(self.backend, text, **options)["input_ids"]) if text else []

    def _markup_tokens(self) -> list[str]:
        """Spellings that a user must not turn into a token: special ones, and what the template writes."""
        roles = ("user", "assistant", "user")
        written = set(self._ids(self.template.render([(role, "") for role in roles]).text))
        special = set(self.backend.all_special_ids)
        return [t for t, i in self.backend.added_tokens_encoder.items() if i in special or i in written]

    def _units(self, rendered: Rendered, medium: str, media: Iterator[Media]) -> Iterator[_Unit]:
        """Tokens and media from left to right."""
        start = 0
        for cut in [*self._cuts(rendered, medium), len(rendered.text)]:
            yield from self._chunk(rendered.text[start:cut], start)
            start = cut
            if rendered.text[cut : cut + 1] == medium:
                yield _Unit(cut, cut + 1, media=next(media))
                start = cut + 1

    def _cuts(self, rendered: Rendered, medium: str) -> list[int]:
        """Where a medium stands, and inside each token that a message spells."""
        cuts = set()
        for start, end in rendered.contents.values():
            cuts |= set(_occurrences(medium, rendered.text, start, end)) | self._spelled(rendered.text, start, end)
        return sorted(cuts)

    def _spelled(self, text: str, start: int, end: int) -> set[int]:
        """Places inside tokens that the text spells between two places: what is cut there becomes none of them."""
        return {at + 1 for token in self._reserved for at in _occurrences(token, text, start, end)}

    def _chunk(self, text: str, offset: int) -> Iterator[_Unit]:
        """Tokens of a part of the text, which goes on where the part before it ended."""
        if not text:
            return
        anchor, skipped = self._anchor(text) if offset and self._adds_space else ("", 0)
        found = tokenized(self.backend, anchor + text, return_offsets_mapping=True)
        tokens = list(zip(found["input_ids"], found["offset_mapping"], strict=True))
        for token, (start, end) in tokens[skipped:]:
            yield _Unit(offset + start - len(anchor), offset + end - len(anchor), token)

    def _anchor(self, text: str) -> tuple[str, int]:
        """A text that merges with nothing in the text behind it, and the number of its tokens."""
        for anchor in _ANCHORS:
            alone = self._ids(anchor)
            if self._ids(anchor + text)[: len(alone)] == alone:
                return anchor, len(alone)
        return "", 0

    def _with_ends(self, rendered: Rendered, units: list[_Unit]) -> list[_Unit]:
        """Put the token that ends an answer where the template does not write one."""
        for number, answer in rendered.answers.items():
            if not answer.ends_itself:
                at = next((n for n, unit in enumerate(units) if unit.start >= answer.end), len(units))
                units.insert(at, _Unit(answer.end, answer.end, self.eos_id, ends=number))
        return units


def _in_order(rendered: Rendered) -> list[tuple[int, tuple[int, int]]]:
    """Messages from left to right; a template may write the system's behind others."""
    return sorted(rendered.contents.items(), key=lambda item: item[1])


def _occurrences(part: str, text: str, start: int, end: int) -> Iterator[int]:
    at = text.find(part, start, end)
    while at >= 0:
        yield at
        at = text.find(part, at + 1, end)


def _pieces(rendered: Rendered, units: Sequence[_Unit], *, open_answer: bool) -> list[Piece]:
    """Group tokens that belong to one message and are learned alike."""
    ends = [(n, rendered.answers[n].end if n in rendered.answers else end) for n, (_, end) in _in_order(rendered)]
    rest = len(ends) if open_answer else ends[-1][0]
    pieces: list[Piece] = []
    for unit in units:
        # Markup belongs to the message that it announces; behind all messages, to the answer to come or the last one.
        message = next((n for n, end in ends if unit.start < end), rest) if unit.ends is None else unit.ends
        learned = unit.ends is not None or any(
            unit.start < answer.end and max(unit.end, unit.start + 1) > answer.start
            for answer in rendered.answers.values()
        )
        if unit.media is not None:
            pieces.append(Piece(message, [], learned, unit.media))
        elif pieces and pieces[-1].media is None and (pieces[-1].message, pieces[-1].learned) == (message, learned):
            pieces[-1].ids.append(unit.id)
        else:
            pieces.append(Piece(message, [unit.id], learned))
    return pieces
