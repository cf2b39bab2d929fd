"""What the metrics take out of a sample; the contract is in the package's docstring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from anyloom.conversation import Media
from anyloom.interfaces import Sample

__all__ = ["Edit", "edit_of", "groups_of", "wants_media"]


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


def edit_of(sample: Sample, modality: str) -> Edit | None:
    """Return the edit that a sample asks for; None if its target holds no media of the modality."""
    targets = [m for m in sample.conversation.messages[-1].media if m.modality == modality]
    if not targets:
        return None
    prompt = [m for m in sample.conversation.prompt().media if m.modality == modality]
    facts = sample.provenance
    candidates = facts.get("candidates", ())
    return Edit(
        source=facts.get("input") if isinstance(facts.get("input"), Media) else (prompt[-1] if prompt else None),
        target=targets[0],
        examples=tuple(facts["examples"]) if "examples" in facts else _pairs(prompt, facts.get("k", -1)),
        candidates=tuple(candidates() if callable(candidates) else candidates),
    )


def _pairs(prompt: Sequence[Media], k: object) -> tuple[tuple[Media, Media], ...]:
    if not isinstance(k, int) or k < 1 or len(prompt) != 2 * k + 1:
        return ()
    return tuple(zip(prompt[0 : 2 * k : 2], prompt[1 : 2 * k : 2]))


def groups_of(sample: Sample) -> list[str]:
    """Names of the groups whose means a sample enters: its task, then task and family, then task and k.

    >>> from anyloom.conversation import Conversation, Message
    >>> groups_of(Sample(Conversation([Message("assistant", "hi")]), "edit", {"family": "tone", "k": 1}))
    ['edit', 'edit/tone', 'edit/k1']
    """
    family, k = sample.provenance.get("family"), sample.provenance.get("k", -1)
    groups = [sample.task]
    if family:
        groups.append(f"{sample.task}/{family}")
    if isinstance(k, int) and k >= 0:
        groups.append(f"{sample.task}/k{k}")
    return groups


def wants_media(sample: Sample, modality: str, tasks: Sequence[str] | None) -> bool:
    """Whether a sample's target has media of a modality and its task is one of those that count.

    Args:
        sample: The sample.
        modality: Name of the modality.
        tasks: Tasks that count; None for all.
    """
    right_task = tasks is None or sample.task in tasks
    return right_task and any(m.modality == modality for m in sample.conversation.messages[-1].media)
