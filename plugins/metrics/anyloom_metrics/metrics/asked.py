"""What metrics read of an evaluated sample: its media and texts, its groups, and why it cannot be scored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from torch import Tensor

from anyloom.conversation import Media
from anyloom.errors import MediaError
from anyloom.interfaces import Evaluated, Sample
from anyloom_metrics.functional.checks import SILENCE

__all__ = [
    "REASONS",
    "answered",
    "fault_of",
    "groups_of",
    "identity_of",
    "input_of",
    "pair_at_one_rate",
    "prompt_of",
]
__all__ += ["number_of", "target_of", "wants_target"]

REASONS: Final = (
    "",
    "no answer",
    "the answer is silent",
    "the answer holds NaN or infinite values",
    "no reference",
    "the reference is silent",
    "the reference holds NaN or infinite values",
    "no text",
    "nothing moves in the answer",
)
"""Why a sample was not scored; a sample's state holds the number."""


def answered(evaluated: Evaluated, modality: str) -> Media | None:
    """The first decoded media item of a modality in the answer.

    >>> from anyloom.conversation import Conversation, Message
    >>> import torch
    >>> made = Media("image", torch.zeros(3, 2, 2))
    >>> one = Evaluated(Sample(Conversation([]), "edit"), Message("assistant", ["here: ", made]))
    >>> answered(one, "image") is made, answered(one, "audio") is None
    (True, True)
    """
    return next((m for m in evaluated.answer.media if m.modality == modality and m.has_data), None)


def target_of(sample: Sample, modality: str) -> Media | None:
    """The first media item of a modality in the target."""
    media = sample.conversation.messages[-1].media
    return next((m for m in media if m.modality == modality and m.has_data), None)


def input_of(sample: Sample, modality: str) -> Media | None:
    """The media item of the prompt that the sample is about: the one it names as ``source``, else the last."""
    media = [m for m in sample.conversation.prompt().media if m.modality == modality and m.has_data]
    named = [m for m in media if m.key and m.key == sample.provenance.get("source")]
    found = named or media
    return found[-1] if found else None


def prompt_of(sample: Sample) -> str:
    """The text that the answer should show.

    >>> from anyloom.conversation import Conversation, Message
    >>> prompt_of(Sample(Conversation([Message("user", "a red hat"), Message("assistant", "...")]), "draw"))
    'a red hat'
    """
    users = [m for m in sample.conversation.prompt().messages if m.role == "user"]
    return str(sample.provenance.get("prompt") or (users[-1].text if users else "")).strip()


def fault_of(media: Media | None, *, reference: bool = False) -> str:
    """Say why a media item cannot be scored, in the words of :data:`REASONS`; empty if it can.

    Args:
        media: The item; None if there is none.
        reference: Whether it is what an answer is compared with.

    >>> fault_of(None), fault_of(None, reference=True)
    ('no answer', 'no reference')
    """
    who = "reference" if reference else "answer"
    if media is None:
        return f"no {who}"
    data = media.tensor()
    if data.is_floating_point() and not bool(data.isfinite().all()):
        return f"the {who} holds NaN or infinite values"
    if "sample_rate" in media.meta and _silent(data):
        return f"the {who} is silent"
    return ""


def pair_at_one_rate(answer: Media, reference: Media) -> tuple[Tensor, Tensor, int]:
    """The waves ``(T,)`` and ``(T',)`` of two sounds, first channels, and their sample rate in Hz.

    Raises:
        anyloom.errors.MediaError: A rate is unknown or they differ; nothing is resampled in silence.
    """
    rates = [m.meta.get("sample_rate", 0) for m in (answer, reference)]
    if rates[0] != rates[1] or rates[0] <= 0:
        raise MediaError(
            f"the answer has {rates[0]:g} Hz, its reference {rates[1]:g} Hz",
            where=answer.path or answer.key or reference.key,
            fix="bring both to one sample rate, and say so beside the number",
        )
    waves = []
    for media in (answer, reference):
        data = media.tensor().detach().cpu()
        if data.ndim != 2 or 0 in data.shape:
            raise MediaError(f"expected a sound (C, T), got {tuple(data.shape)}", where=media.path or media.key)
        waves.append(data[0].float())
    return waves[0], waves[1], round(rates[0])


def groups_of(sample: Sample) -> list[str]:
    """Names of the groups whose values a sample enters: its task, and task with family, with k and with both.

    >>> from anyloom.conversation import Conversation, Message
    >>> groups_of(Sample(Conversation([Message("assistant", "hi")]), "edit", {"family": "tone", "k": 2}))
    ['edit', 'edit/tone', 'edit/k2', 'edit/tone/k2']
    """
    family, k = sample.provenance.get("family"), sample.provenance.get("k")
    parts = ["", *([f"/{family}"] if family else [])]
    shots = [f"/k{k}"] if isinstance(k, int) and k >= 0 else []
    return [sample.task + part + shot for shot in ("", *shots) for part in parts]


def identity_of(sample: Sample) -> int:
    """A number of 63 bits that names the sample in whatever order, batch or process it is met."""
    messages = sample.conversation.messages
    content = [(m.role, [getattr(s, "text", None) or getattr(s, "key", "") for s in m.segments]) for m in messages]
    facts = {k: v for k, v in sample.provenance.items() if isinstance(v, str | int | float)}
    return number_of(repr([sample.key, sample.task, content, sorted(facts.items())]))


def number_of(name: str) -> int:
    """A number of 63 bits that stands for a name in a tensor.

    >>> number_of("a") == number_of("a"), number_of("a") == number_of("b"), number_of("a") < 2**63
    (True, False, True)
    """
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


def _silent(data: Tensor) -> bool:
    if not data.numel():
        return True
    first = data.float().reshape(-1, data.shape[-1])[0]
    return float((first - first.mean()).abs().max()) <= SILENCE


def wants_target(sample: Sample, modality: str, tasks: Sequence[str] | None) -> bool:
    """Whether a sample's target has media of a modality and its task is one of those that count (None: all)."""
    right_task = tasks is None or sample.task in tasks
    return right_task and any(m.modality == modality for m in sample.conversation.messages[-1].media)
