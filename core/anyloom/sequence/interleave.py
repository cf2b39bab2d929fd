"""Conversation -> token ids with runs of positions for media.

A media item takes ``begin tag, n positions, end tag`` of the sequence. The positions hold a placeholder id; their
embeddings come from the modality's representation. Labels stand where text is to be predicted: the text of assistant
messages, the begin tags in them, and their closing token; never at the positions of media or at end tags, which are
forced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from anyloom.conversation.segments import Conversation, Media, Message, Text
from anyloom.errors import ConversationError, TooLongError
from anyloom.interfaces.llm import Piece, Tokenizer

__all__ = ["IGNORE", "Interleaved", "Interleaver", "ReferenceRule", "Run", "Tags", "turns"]

IGNORE = -100
"""Label of positions that carry no token loss."""

ReferenceRule = Literal["named", "last"]
"""Which medium an answer edits: the one that the data names, or else the last one of its modality."""


@dataclass(frozen=True)
class Tags:
    """One modality's tags.

    Args:
        begin: Id of the begin tag.
        end: Id of the end tag.
        read: Positions of a medium that is read; 0 if media of this modality cannot be read.
        made: Positions of a medium that is to be produced.
        reference: How the reference of a medium that is to be produced is found.

    >>> Tags(begin=300, end=301, read=4, made=4).reference
    'named'
    """

    begin: int
    end: int
    read: int
    made: int
    reference: ReferenceRule = "named"


@dataclass(frozen=True)
class Run:
    """One media item in a sequence.

    Args:
        media: The media item.
        start: Position of its first position after the begin tag.
        length: Number of its positions.
        target: Whether the model is to produce it (it stands in an assistant message).
        message: Number of its message in the conversation.
        reference: Number of the run that it edits, None if there is none.
    """

    media: Media
    start: int
    length: int
    target: bool
    message: int
    reference: int | None = None


@dataclass
class Interleaved:
    """One conversation as the LLM reads it.

    Args:
        ids: Token ids ``(S,)``; positions of media hold the pad id.
        labels: Ids to predict ``(S,)``, :data:`IGNORE` elsewhere; ``labels[t]`` belongs to ``ids[t]``.
        runs: The media, by position.
        cut: Turns that were left out because the conversation was too long.

    >>> len(Interleaved(torch.tensor([5, 6, 7]), torch.tensor([IGNORE, 6, 7])))
    3
    """

    ids: Tensor
    labels: Tensor
    runs: list[Run] = field(default_factory=list)
    cut: int = 0

    def __len__(self) -> int:
        return len(self.ids)


def turns(messages: Sequence[Message]) -> list[range]:
    """Number the messages of each turn: what a user says and the answers to it. System messages belong to none.

    >>> [list(turn) for turn in turns([Message(r, "") for r in ("system", "user", "assistant", "user")])]
    [[1, 2], [3]]
    """
    spoken = [n for n, m in enumerate(messages) if m.role != "system"]
    starts = [n for at, n in enumerate(spoken) if at == 0 or messages[n].role == "user"]
    ends = [*starts[1:], len(messages)]
    return [range(start, end) for start, end in zip(starts, ends)]


class Interleaver:
    """Turns conversations into sequences for one LLM.

    Args:
        tokenizer: Gives tokens and chat markup.
        tags: Tags by modality.
        max_length: Longest sequence in tokens. Longer ones lose whole turns (a question with its answers), the oldest
            first; system messages and the last turn are never cut, and an answer that edits a medium of a lost turn
            is read but not learned.
    """

    def __init__(self, tokenizer: Tokenizer, tags: Mapping[str, Tags], max_length: int | None = None) -> None:
        self.tokenizer, self.tags, self.max_length = tokenizer, dict(tags), max_length

    def __call__(self, conversation: Conversation, *, open_answer: bool = False) -> Interleaved:
        """Interleave a conversation.

        Args:
            conversation: What to read.
            open_answer: End with the prefix of an assistant message that is still to come, for generation.

        Raises:
            anyloom.errors.ConversationError: A medium's modality is not part of the model, or cannot be read by it.
            anyloom.errors.TooLongError: What must stay is longer than ``max_length``.
        """
        messages = list(conversation.messages)
        lost: set[int] = set()
        left = turns(messages)
        while True:
            sequence = self._sequence(messages, lost, open_answer)
            if self.max_length is None or len(sequence) <= self.max_length:
                return sequence
            if len(left) < 2:
                raise TooLongError(
                    f"the last turn and the system message take {len(sequence)} tokens; the limit is {self.max_length}",
                    where="max_length",
                    fix="raise model.max_length or shorten the message",
                )
            # Room for the last turn is what counts, so the oldest turn goes first, as a whole: a question that has
            # lost its answer, or half of its words, teaches nonsense.
            lost.update(left.pop(0))

    def _sequence(self, messages: Sequence[Message], lost: set[int], open_answer: bool) -> Interleaved:
        kept = [n for n in range(len(messages)) if n not in lost]
        writer = _Writer(self, messages, lost)
        # The rest is written anew, so that its markup is that of a conversation which never had the lost turns.
        for piece in self.tokenizer.render([messages[n] for n in kept], open_answer=open_answer):
            if piece.media is not None:
                writer.medium(piece.media, kept[piece.message], answer=piece.learned)
            else:
                ids = self._as_made(piece, messages[kept[piece.message]]) if piece.learned else piece.ids
                writer.tokens(ids, learned=piece.learned and writer.learns(kept[piece.message]))
        return writer.sequence(cut=len(turns(messages)) - len(turns([messages[n] for n in kept])))

    def _as_made(self, piece: Piece, message: Message) -> list[int]:
        """The ids of a piece of an answer, with its text as the model made it where that reads the same."""
        stop = next((n for n, i in enumerate(piece.ids) if i in self.tokenizer.stop_ids), len(piece.ids))
        made = [s for s in message.segments if isinstance(s, Text) and s.tokens is not None]
        if not stop or not made:
            return piece.ids
        text = self.tokenizer.decode(piece.ids[:stop])
        for segment in made:
            tokens = list(segment.tokens or ())
            if segment.text == text and self.tokenizer.decode(tokens) == text:
                return [*tokens, *piece.ids[stop:]]
        return piece.ids


class _Writer:
    """Writes one sequence, piece by piece."""

    def __init__(self, interleaver: Interleaver, messages: Sequence[Message], lost: set[int]) -> None:
        self.tokenizer, self.tags, self.messages = interleaver.tokenizer, interleaver.tags, messages
        self.ids: list[int] = []
        self.labels: list[int] = []
        self.runs: list[Run] = []
        # Numbers of media in the conversation -> runs in the sequence; media of lost turns are not among them.
        self.run_of: dict[int, int] = {}
        first = [0]
        for message in messages:
            first.append(first[-1] + len(message.media))
        self.next_medium = first
        self.lost_media = {medium for n in lost for medium in range(first[n], first[n + 1])}

    def tokens(self, ids: Sequence[int], *, learned: bool) -> None:
        self.ids += ids
        self.labels += ids if learned else [IGNORE] * len(ids)

    def learns(self, message: int) -> bool:
        """Whether an answer can be learned: not one that edits a medium of a lost turn."""
        return all(media.reference not in self.lost_media for media in self.messages[message].media)

    def medium(self, media: Media, message: int, *, answer: bool) -> None:
        tags = self._tags(media, message)
        target = answer and self.learns(message)
        length = tags.made if target else tags.read
        if not length:
            raise ConversationError(
                f"this model makes {media.modality} but cannot read it",
                where=f"messages[{message}]",
                fix=f"give model.modalities.{media.modality} an encoder",
            )
        self.tokens([tags.begin], learned=target)
        number = self.next_medium[message]
        self.next_medium[message] += 1
        self.run_of[number] = len(self.runs)
        self.runs.append(
            Run(media, len(self.ids), length, target, message, self._reference(media, number, tags) if answer else None)
        )
        self.tokens([self.tokenizer.pad_id] * length, learned=False)
        self.tokens([tags.end], learned=False)

    def _tags(self, media: Media, message: int) -> Tags:
        if media.modality not in self.tags:
            raise ConversationError(
                f"this model does not handle the modality {media.modality!r}",
                where=f"messages[{message}]",
                fix=f"it handles text, {', '.join(self.tags)}",
            )
        return self.tags[media.modality]

    def _reference(self, media: Media, medium: int, tags: Tags) -> int | None:
        if media.reference is not None:
            if media.reference >= medium:
                raise ConversationError(
                    f"medium {medium} names {media.reference} as its reference, which does not stand before it",
                    fix="name an earlier medium; they are counted from 0 through the whole conversation",
                )
            return self.run_of.get(media.reference)
        if tags.reference == "named":
            return None
        earlier = [n for n, run in enumerate(self.runs) if run.media.modality == media.modality]
        return earlier[-1] if earlier else None

    def sequence(self, cut: int) -> Interleaved:
        return Interleaved(torch.tensor(self.ids), torch.tensor(self.labels), self.runs, cut)
