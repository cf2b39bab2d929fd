"""Conversations of several rounds in which earlier answers are the model's own and not the right ones.

A sample whose ``provenance["own_history"]`` is true is answered round by round: each answer is put in the place of the
right one before the next question. So errors of early rounds stay in the picture, as they do for a user. Where no
decoder has made an answer's media, nobody can look at them again, and the right answer stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from anyloom.conversation.segments import Conversation, Message
from anyloom.interfaces.dataset import Sample

__all__ = ["with_own_history"]

Ask = Callable[[list[tuple[Sample, int]]], list[Message]]
"""From samples, each cut after the answer that is wanted, with the number of its round, to answers."""


def with_own_history(samples: Sequence[Sample], ask: Ask) -> list[Sample]:
    """The samples, with every answer but the last replaced by the model's own where a sample wants that.

    Args:
        samples: The samples.
        ask: Answers samples whose last message is the wanted answer; rounds of several samples are asked together.
    """
    found = list(samples)
    rounds = {n: _answers(s)[:-1] for n, s in enumerate(found) if s.provenance.get("own_history")}
    for number in range(max(map(len, rounds.values()), default=0)):
        here = {n: places[number] for n, places in rounds.items() if len(places) > number}
        cut = [(_with(found[n], found[n].conversation.messages[: place + 1]), number) for n, place in here.items()]
        for (n, place), answer in zip(here.items(), ask(cut)):
            if not all(medium.has_data for medium in answer.media):
                continue
            messages = [*found[n].conversation.messages]
            messages[place] = answer
            found[n] = _with(found[n], messages)
    return found


def _answers(sample: Sample) -> list[int]:
    return [n for n, message in enumerate(sample.conversation.messages) if message.role == "assistant"]


def _with(sample: Sample, messages: Sequence[Message]) -> Sample:
    return replace(sample, conversation=Conversation(messages))
