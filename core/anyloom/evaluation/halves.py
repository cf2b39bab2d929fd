"""Halves of a split, for benchmarks that have one split alone: choose by the one half, report the other.

``test/choose`` and ``test/report`` are the halves of ``test``. What belongs to one subject is in one half.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from anyloom.data.module import AnyToAnyData
from anyloom.errors import ConfigError, nearest
from anyloom.interfaces.dataset import Sample
from anyloom.sequence.seeds import sample_name

__all__ = ["HALVES", "half", "samples_of_split"]

HALVES: Final = ("choose", "report")


def samples_of_split(data: Mapping[str, Any], split: str) -> list[Sample]:
    """The samples of a split, or of one half of it.

    Args:
        data: A data section.
        split: ``test``, or ``test/choose`` and ``test/report``.

    Raises:
        anyloom.errors.ConfigError: There is no such split or half.
    """
    whole, _, which = split.partition("/")
    everything = AnyToAnyData(data).samples(whole)
    samples = [everything[number] for number in range(len(everything))]
    return half(samples, which) if which else samples


def half(samples: Sequence[Sample], which: str) -> list[Sample]:
    """One half of the samples, in their order. Subjects (``provenance["subject"]``, else names) take turns.

    Args:
        samples: All samples of a split.
        which: ``choose`` or ``report``.

    Raises:
        anyloom.errors.ConfigError: There is no such half.

    >>> from anyloom.conversation.segments import Conversation
    >>> samples = [Sample(Conversation([]), "t", {"subject": n % 5}, str(n)) for n in range(20)]
    >>> chosen, reported = ({s.provenance["subject"] for s in half(samples, which)} for which in HALVES)
    >>> len(chosen), len(reported), chosen & reported
    (3, 2, set())
    """
    if which not in HALVES:
        fix = nearest(which, HALVES) or f"halves are {', '.join(HALVES)}"
        raise ConfigError(f"a split has no half {which!r}", where="suite.split", fix=fix)
    subjects = {_subject(sample) for sample in samples}
    order = sorted(subjects, key=lambda subject: hashlib.blake2b(subject.encode()).digest())
    own = set(order[HALVES.index(which) :: 2])
    return [sample for sample in samples if _subject(sample) in own]


def _subject(sample: Sample) -> str:
    subject = sample.provenance.get("subject")
    return sample_name(sample) if subject in (None, "") else str(subject)  # one that is called 0 is one
