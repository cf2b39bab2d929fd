"""Notes for the media of answers that are no part of a session."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from anyloom.conversation.segments import Conversation, Media, Message, Segment
from anyloom.generation.options import GenerationOptions
from anyloom.replay.record import MadeBy, answered, new_record, note_for, prior

__all__ = ["with_notes"]


def with_notes(
    conversation: Conversation, answer: Message, made_by: MadeBy, seed: int, *, cut: bool = False, **options: Any
) -> Message:
    """Return an answer whose media know what made them; files that they are written to keep it.

    Args:
        conversation: What was asked; its last message is the question.
        answer: What was answered.
        made_by: The model.
        seed: What the answer drew from.
        cut: Whether the answer went on after this.
        options: How it was answered, as :class:`anyloom.generation.options.GenerationOptions` has them.

    Raises:
        anyloom.errors.AnyloomError: A file of the conversation cannot be read.
    """
    before, given = prior(conversation.messages[:-1])
    turn, asked, _ = answered(
        conversation.messages[-1],
        answer,
        at=len(before),
        seed=seed,
        cut=cut,
        options=GenerationOptions.model_validate(options),
    )
    record = new_record(made_by, before=before)
    record.turns.append(turn)
    segments: list[Segment] = []
    for number, segment in enumerate(answer.segments):
        made = isinstance(segment, Media) and segment.has_data
        segments.append(_noted(segment, note_for(record, number, given | asked)) if made else segment)
    return Message(answer.role, segments)


def _noted(segment: Segment, note: str) -> Segment:
    return replace(segment, note=note) if isinstance(segment, Media) else segment
