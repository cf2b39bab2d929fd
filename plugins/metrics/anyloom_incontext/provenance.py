"""What the metrics take out of a sample; the contract is in the package's docstring."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from anyloom.conversation import Media
from anyloom.errors import ConfigError
from anyloom.interfaces import Sample

__all__ = ["Edit", "Find", "edit_of", "groups_of", "number_of", "query_of", "wants_media"]

_ASKED = ("split", "query", "subjects", "family", "operation", "source", "target")

Find = Callable[[str], Media]
"""From a content key to the media item."""


@dataclass(frozen=True)
class Edit:
    """A sample that changes one media item into another.

    Args:
        source: What is changed; None where the prompt has no media of the target's modality.
        target: What it should become.
        examples: Example pairs of the prompt.
        candidates: What the answer is chosen among; empty if the sample gives none.
    """

    source: Media | None
    target: Media
    examples: Sequence[tuple[Media, Media]] = ()
    candidates: Sequence[Media] = ()


def edit_of(sample: Sample, modality: str, find: Find | None = None) -> Edit | None:
    """Return the edit that a sample asks for; None if its target holds no media of the modality.

    Args:
        sample: The sample.
        modality: Of the target.
        find: Gives media that do not stand in the conversation. Without it candidates that are named by keys are
            left out.

    Raises:
        anyloom.errors.ConfigError: The provenance names media that are nowhere to be found.
    """
    targets = [m for m in sample.conversation.messages[-1].media if m.modality == modality]
    if not targets:
        return None
    here = {m.key: m for m in sample.conversation.media if m.key}
    prompt = [m for m in sample.conversation.prompt().media if m.modality == modality]
    facts = sample.provenance
    source = here.get(str(facts.get("source")), prompt[-1] if prompt else None)
    pairs = [(_found(a, here, find), _found(b, here, find)) for a, b in facts.get("examples", ())]
    candidates = [c for c in facts.get("candidates", ()) if find is not None or not isinstance(c, str)]
    return Edit(
        source=source,
        target=targets[0],
        examples=tuple(pairs) if pairs else _pairs(prompt, facts.get("k", -1)),
        candidates=tuple(_found(c, here, find) for c in candidates),
    )


def _found(named: str | Media, here: dict[str, Media], find: Find | None) -> Media:
    if isinstance(named, Media):
        return named
    if named in here:
        return here[named]
    if find is None:
        raise ConfigError(
            f"the provenance of a sample names {named!r}, which is not in the conversation",
            where="metric.dataset",
            fix="name the data set that holds it",
        )
    return find(named)


def _pairs(prompt: Sequence[Media], k: object) -> tuple[tuple[Media, Media], ...]:
    if not isinstance(k, int) or k < 1 or len(prompt) != 2 * k + 1:
        return ()
    return tuple(zip(prompt[0 : 2 * k : 2], prompt[1 : 2 * k : 2]))


def groups_of(sample: Sample) -> list[str]:
    """Names of the groups whose means a sample enters: its task, and task with family, with k and with both.

    >>> from anyloom.conversation import Conversation, Message
    >>> groups_of(Sample(Conversation([Message("assistant", "hi")]), "edit", {"family": "tone", "k": 1}))
    ['edit', 'edit/tone', 'edit/k1', 'edit/tone/k1']
    """
    family, k = sample.provenance.get("family"), sample.provenance.get("k")
    parts = [f"/{family}"] if family else []
    if isinstance(k, int) and k >= 0:
        parts += [f"/k{k}", *(f"{part}/k{k}" for part in parts)]
    return [sample.task, *(sample.task + part for part in parts)]


def query_of(sample: Sample) -> int:
    """A number that samples share which ask for the same answer about the same thing, with whatever examples.

    >>> from anyloom.conversation import Conversation
    >>> one, two = (Sample(Conversation([]), "edit", {"k": k, "source": "hat"}) for k in (0, 1))
    >>> query_of(one) == query_of(two)
    True
    """
    return number_of(repr([sample.provenance.get(name) for name in _ASKED]))


def number_of(name: str) -> int:
    """A number of 63 bits that stands for a name in a tensor.

    >>> number_of("a") == number_of("a") != number_of("b")
    True
    """
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


def wants_media(sample: Sample, modality: str, tasks: Sequence[str] | None) -> bool:
    """Whether a sample's target has media of a modality and its task is one of those that count.

    Args:
        sample: The sample.
        modality: Name of the modality.
        tasks: Tasks that count; None for all.

    >>> from anyloom.conversation import Conversation, Media, Message
    >>> sample = Sample(Conversation([Message("assistant", [Media("image", key="hat")])]), "edit")
    >>> wants_media(sample, "image", None), wants_media(sample, "image", ["other"])
    (True, False)
    """
    right_task = tasks is None or sample.task in tasks
    return right_task and any(m.modality == modality for m in sample.conversation.messages[-1].media)
