"""Checks of baselines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from anyloom.conversation.segments import Conversation, Media, Message
from anyloom.evaluation.baselines import question_of
from anyloom.interfaces.dataset import Sample
from anyloom.testing.case import BaselineCase
from anyloom.testing.checking import check, require
from anyloom.testing.component import ComponentChecks

__all__ = ["BaselineChecks"]


class BaselineChecks(ComponentChecks):
    """Inherit and supply the fixture ``case``, an :class:`anyloom.testing.BaselineCase`."""

    def made(self, case: BaselineCase) -> Any:
        """A baseline that is ready for its first question."""
        baseline = case.build()
        baseline.prepare(case.training, torch.device("cpu"))
        return baseline

    def use(self, case: BaselineCase) -> None:
        """Answer the first question."""
        self.made(case).answer(question_of(case.questions[0]), 1)

    @check("answer with a message of the assistant that has the media that are wanted")
    def test_answers_what_is_wanted(self, case: BaselineCase) -> None:
        """Every answer has a medium of each wanted modality, with finite numbers."""
        baseline = self.made(case)
        for sample in case.questions:
            question = question_of(sample)
            answer = baseline.answer(question, 1)
            require(
                isinstance(answer, Message) and answer.role == "assistant", "it returns no message of the assistant"
            )
            wanted = [name for name in question.wanted if name != "text"]
            require(
                [m.modality for m in answer.media] == wanted, f"it answers {answer.media!r} where {wanted} is wanted"
            )
            require(all(bool(m.tensor().isfinite().all()) for m in answer.media), "an answer has NaN or infinity")

    @check("draw from the seed alone")
    def test_a_seed_gives_one_answer(self, case: BaselineCase) -> None:
        """Two equal seeds give equal answers, whatever was asked between."""
        baseline = self.made(case)
        question = question_of(case.questions[0])
        first = baseline.answer(question, 7)
        for sample in case.questions:
            baseline.answer(question_of(sample), 8)
        require(_equal(first, baseline.answer(question, 7)), "the same seed gave another answer")

    @check("answer from the question: nothing of the answer is in it")
    def test_does_not_know_the_target(self, case: BaselineCase) -> None:
        """With another target the answer is the same."""
        sample = case.questions[0]
        first = self.made(case).answer(question_of(sample), 7)
        again = self.made(case).answer(question_of(_with_blank_target(sample)), 7)
        require(_equal(first, again), "the answer changes with the target")


def _with_blank_target(sample: Sample) -> Sample:
    messages = sample.conversation.messages
    blank = [s if not isinstance(s, Media) else Media(s.modality, torch.zeros(1)) for s in messages[-1].segments]
    return replace(sample, conversation=Conversation([*messages[:-1], Message("assistant", blank)]))


def _equal(one: Message, other: Message) -> bool:
    pairs = list(zip(one.media, other.media))
    return len(one.media) == len(other.media) and all(torch.equal(a.tensor(), b.tensor()) for a, b in pairs)
