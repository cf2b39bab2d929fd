"""What a model is compared with: something that answers the same questions and is no trained assembly."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from anyloom.conversation.segments import Conversation, Media, Message, Text
from anyloom.errors import ConversationError
from anyloom.interfaces.component import Component
from anyloom.interfaces.dataset import Sample

__all__ = ["Baseline", "Question"]


@dataclass(frozen=True)
class Question:
    """What a baseline may see of a sample: everything but the answer.

    Args:
        prompt: The conversation up to the answer.
        wanted: What the answer consists of, in order: ``"text"``, or the name of a modality.
        facts: What the data set says of the question, such as ``caption`` and ``edited_caption``.

    >>> question = Question(Conversation([Message("user", ["say ", "yes"])]), wanted=("text",))
    >>> question.instruction
    'say yes'
    """

    prompt: Conversation
    wanted: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def instruction(self) -> str:
        """The words of the last message of the user."""
        last = next((m for m in reversed(self.prompt.messages) if m.role == "user"), Message("user", []))
        return " ".join(s.text.strip() for s in last.segments if isinstance(s, Text)).strip()

    def media(self, modality: str) -> list[Media]:
        """All media of a modality, in order."""
        return [m for message in self.prompt.messages for m in message.media if m.modality == modality]

    def source(self, modality: str) -> Media:
        """The medium that is edited: the last one of its modality.

        Raises:
            anyloom.errors.ConversationError: The question shows none.
        """
        shown = self.media(modality)
        if not shown:
            raise ConversationError(f"the question shows no {modality}", fix="use a baseline that needs none")
        return shown[-1]


class Baseline(Component):
    """Answers the questions of a suite without a model that was trained for them.

    >>> class Yes(Baseline):
    ...     def answer(self, question, seed):
    ...         return Message("assistant", "yes")
    >>> Yes.from_options().answer(Question(Conversation([]), ("text",)), seed=0).text
    'yes'
    """

    needs_training_set: bool = False
    """Whether :meth:`prepare` looks at the suite's training samples."""

    def prepare(self, training: Sequence[Sample], device: torch.device) -> None:
        """Called once before the first question: load what is needed.

        Args:
            training: Samples of the training split; empty unless :attr:`needs_training_set`.
            device: Where to compute.
        """

    @abstractmethod
    def answer(self, question: Question, seed: int) -> Message:
        """Answer one question. The same seed gives the same answer.

        Raises:
            anyloom.errors.AnyloomError: The question cannot be answered; the others still are.
        """
