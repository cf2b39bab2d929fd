"""Conversation -> token ids with runs of feature steps.

A media item takes ``begin tag, n feature steps, end tag`` of the sequence. Feature steps have a placeholder id; their
embeddings come from the input projector. Labels stand where text is to be predicted: the text of assistant
messages, the begin tags in them, and their closing token; never at feature steps or end tags, which are forced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from anyloom.conversation.segments import Conversation, Media, Text
from anyloom.errors import ConversationError
from anyloom.interfaces.llm import Tokenizer

__all__ = ["IGNORE", "Interleaved", "Interleaver", "Run", "Tags"]

IGNORE = -100
"""Label of positions that carry no token loss."""


@dataclass(frozen=True)
class Tags:
    """Ids of one modality's tags and the number of feature steps between them."""

    begin: int
    end: int
    steps: int


@dataclass(frozen=True)
class Run:
    """One media item in a sequence.

    Args:
        media: The media item.
        start: Position of its first feature step.
        steps: Number of feature steps.
        target: Whether the model is to produce it (it stands in an assistant message).
        message: Number of its message in the conversation.
    """

    media: Media
    start: int
    steps: int
    target: bool
    message: int


@dataclass
class Interleaved:
    """One conversation as the LLM reads it.

    Args:
        ids: Token ids ``(S,)``; feature steps hold the pad id.
        labels: Ids to predict ``(S,)``, :data:`IGNORE` elsewhere; ``labels[t]`` belongs to ``ids[t]``.
        runs: The media, by position.
    """

    ids: Tensor
    labels: Tensor
    runs: list[Run] = field(default_factory=list)


@dataclass
class _Piece:
    """Tokens that stay together; a media span is one piece."""

    ids: list[int]
    target: bool
    labels: list[int]
    media: Media | None = None
    keep: bool = False
    message: int = 0


class Interleaver:
    """Turns conversations into sequences for one LLM.

    Args:
        tokenizer: Gives tokens and chat markup.
        tags: Tags by modality.
        max_length: Longest sequence in tokens. Longer ones lose their oldest pieces; a media span is never split, and
            the opening token, system messages and the last message are never cut.
    """

    def __init__(self, tokenizer: Tokenizer, tags: Mapping[str, Tags], max_length: int | None = None) -> None:
        self.tokenizer, self.tags, self.max_length = tokenizer, dict(tags), max_length

    def __call__(self, conversation: Conversation, *, open_answer: bool = False) -> Interleaved:
        """Interleave a conversation.

        Args:
            conversation: What to read.
            open_answer: End with the prefix of an assistant message that is still to come, for generation.

        Raises:
            anyloom.errors.ConversationError: A medium's modality is not part of the model, or what must
                stay is longer than ``max_length``.
        """
        pieces = self._pieces(conversation, open_answer)
        return self._join(self._fit(pieces))

    def _pieces(self, conversation: Conversation, open_answer: bool) -> list[_Piece]:
        roles = [m.role for m in conversation.messages] + (["assistant"] if open_answer else [])
        parts = self.tokenizer.chat_parts(roles)
        pieces: list[_Piece] = []
        for index, (prefix, suffix) in enumerate(parts):
            keep = index >= len(conversation.messages) - 1 or roles[index] == "system"
            answer = roles[index] == "assistant"
            if prefix:
                pieces.append(_Piece(prefix, answer, [IGNORE] * len(prefix), keep=keep or index == 0))
            if index == len(conversation.messages):
                break
            for segment in conversation.messages[index].segments:
                pieces += self._segment(segment, answer=answer, keep=keep, message=index)
            if suffix:
                pieces.append(_Piece(suffix, answer, suffix if answer else [IGNORE] * len(suffix), keep=keep))
        return pieces

    def _segment(self, segment: Text | Media, *, answer: bool, keep: bool, message: int) -> list[_Piece]:
        if isinstance(segment, Text):
            ids = self.tokenizer.encode(segment.text)
            return [_Piece([i], answer, [i if answer else IGNORE], keep=keep) for i in ids]
        if segment.modality not in self.tags:
            raise ConversationError(
                f"this model does not handle the modality {segment.modality!r}",
                where=f"messages[{message}]",
                fix=f"it handles text, {', '.join(self.tags)}",
            )
        tags = self.tags[segment.modality]
        ids = [tags.begin, *[self.tokenizer.pad_id] * tags.steps, tags.end]
        labels = [tags.begin if answer else IGNORE, *[IGNORE] * (tags.steps + 1)]
        return [_Piece(ids, answer, labels, media=segment, keep=keep, message=message)]

    def _fit(self, pieces: list[_Piece]) -> list[_Piece]:
        length = sum(len(p.ids) for p in pieces)
        if self.max_length is None or length <= self.max_length:
            return pieces
        kept = []
        for piece in pieces:
            if length > self.max_length and not piece.keep:
                length -= len(piece.ids)
            else:
                kept.append(piece)
        if length > self.max_length:
            raise ConversationError(
                f"the last message and the system's take {length} tokens; the limit is {self.max_length}",
                where="max_length",
                fix="raise model.max_length or shorten the message",
            )
        return kept

    def _join(self, pieces: list[_Piece]) -> Interleaved:
        ids: list[int] = []
        labels: list[int] = []
        runs: list[Run] = []
        for piece in pieces:
            if piece.media is not None:
                steps = len(piece.ids) - 2
                runs.append(Run(piece.media, len(ids) + 1, steps, piece.target, piece.message))
            ids += piece.ids
            labels += piece.labels
        return Interleaved(torch.tensor(ids), torch.tensor(labels), runs)
