"""Samples of picture editing: asked for in words, or shown by example pairs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal, Protocol

from anyloom.conversation import Conversation, Media, Message
from anyloom.interfaces import Sample
from anyloom_starter.edits import phrasings
from anyloom_starter.pool import Pair, Pool
from anyloom_starter.sayings import loosely
from anyloom_starter.tasks import instruction, sample
from anyloom_starter.wording import ask_anyhow, rephrased

__all__ = ["Form", "Shown", "Wording", "edit_sample", "example_pairs", "exemplar_sample"]

Form = Literal["prompt", "dialogue", "both"]
Wording = Literal["plain", "varied", "rephrased"]
_INSTRUCTION_FIRST = 0.25


def edit_sample(rng: random.Random, query: Pair, wording: Wording | Literal["choose"] = "plain") -> Sample:
    """Return a sample that asks for the operation of ``query`` in words.

    ``plain``: a phrasing as it stands, after the picture. ``varied``: in one of the trained frames, in any case and
    punctuation, a quarter of them before the picture. ``rephrased``: in words that no training sample has, as the task
    ``edit-rephrased``; ``choose``: in others of these, of the split of that name.
    """
    if wording == "plain":
        user: list[str | Media] = [query.source, instruction(rng.choice(phrasings(query.operation)))]
    elif wording == "varied":
        user = [query.source, loosely(rng, ask_anyhow(rng, query.operation))]
        if rng.random() < _INSTRUCTION_FIRST:
            user.reverse()
    else:
        user = [query.source, rephrased(rng, query.operation, choose=wording == "choose")]
    task = "edit-rephrased" if wording in ("rephrased", "choose") else "edit"
    return sample(task, user, [query.target], **_provenance(query))


class Shown(Protocol):
    """A medium before and after an operation."""

    @property
    def operation(self) -> str:
        """Name of the operation, ``<family>/<word>``."""

    @property
    def source(self) -> Media:
        """Before."""

    @property
    def target(self) -> Media:
        """After."""

    @property
    def subject(self) -> str:
        """What both are of."""


def exemplar_sample(query: Shown, examples: Sequence[Shown], form: Form = "prompt") -> Sample:
    """Return a sample that shows the operation by k example pairs and asks for it on the query's source.

    ``prompt`` is the paper's: one question that holds all pairs. ``dialogue`` makes each pair a question and its
    answer, so that the answers to earlier pairs are targets too. Without examples both ask the same.
    """
    provenance = _provenance(query) | {
        "k": len(examples),
        "examples": tuple((pair.source.key, pair.target.key) for pair in examples),
        "example_subjects": tuple(pair.subject for pair in examples),
    }
    if form == "prompt" or not examples:
        return sample("exemplar", _question(query, examples), [query.target], **provenance)
    turns: list[Message] = []
    for pair in (*examples, query):
        ask = "Apply the same editing to " if turns else "Apply an editing to "
        turns += [Message("user", [ask, pair.source, "."]), Message("assistant", [pair.target])]
    return Sample(Conversation(turns), "exemplar", {"target": (query.target.key,), **provenance})


def example_pairs(
    rng: random.Random, pool: Pool, operation: str, count: int, *, avoid: str, state: str | None = None
) -> list[Pair]:
    """Draw pairs of different subjects that show ``operation``.

    Args:
        rng: Source of chance.
        pool: Where examples come from.
        operation: What they show.
        count: How many.
        avoid: Subject of the query, which no example may have.
        state: Pixel edit that all pictures have undergone before.
    """
    pairs: list[Pair] = []
    while len(pairs) < count:
        pairs.append(pool.pair(rng, operation, state, avoid={avoid, *(pair.subject for pair in pairs)}))
    return pairs


def _question(query: Shown, examples: Sequence[Shown]) -> list[str | Media]:
    """Return the words of the paper's appendix, with as many pairs as there are."""
    if not examples:
        return ["Apply the same editing to ", query.source, "."]
    parts: list[str | Media] = ["Given the transformation between "]
    for pair in examples:
        parts += [pair.source, " and ", pair.target, ", between "]
    return [*parts[:-1], ", apply the same editing to ", query.source, "."]


def _provenance(query: Shown) -> dict[str, object]:
    return {
        "family": query.operation.split("/")[0],
        "operation": query.operation,
        "source": query.source.key,
        "subjects": (query.subject,),
    }
