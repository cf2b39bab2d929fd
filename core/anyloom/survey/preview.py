"""A page with samples of a run: what is asked, what is to be learned, and the sequence that the model reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from anyloom.data.ledger import Bad, reason_of
from anyloom.interfaces.llm import Tokenizer
from anyloom.report import Report, SampleGroup, SampleRow
from anyloom.sequence.interleave import IGNORE, Interleaved, Interleaver
from anyloom.survey.looking import Looked

__all__ = ["Gathered", "gather", "page", "reading"]

_LEARNED: Final = ("\u27e6", "\u27e7")
_KEYS: Final = ("family", "k", "shots", "operation", "subject", "theta")


@dataclass
class Gathered:
    """Samples to show.

    Args:
        shown: Some of each task of each set, in the order of the run.
        seen: How many of each were met.
        bad: Records that cannot be used.

    >>> Gathered().bad
    []
    """

    shown: dict[tuple[str, str], list[Looked]] = field(default_factory=dict)
    seen: dict[tuple[str, str], int] = field(default_factory=dict)
    bad: list[Bad] = field(default_factory=list)


def gather(samples: Iterable[Looked | Bad], each: int) -> Gathered:
    """Keep the first ``each`` samples of each task of each set.

    >>> from anyloom.conversation import Conversation
    >>> from anyloom.interfaces import Sample
    >>> samples = [Looked(n, "mine", Sample(Conversation([]), "chat"), None) for n in range(3)]
    >>> found = gather(samples, each=2)
    >>> [one.position for one in found.shown["mine", "chat"]], found.seen
    ([0, 1], {('mine', 'chat'): 3})
    """
    found = Gathered()
    for one in samples:
        if isinstance(one, Bad):
            found.bad.append(one)
            continue
        group = one.part.partition("/")[0], one.sample.task
        found.seen[group] = found.seen.get(group, 0) + 1
        if found.seen[group] <= each:
            found.shown.setdefault(group, []).append(one)
    return found


def reading(sequence: Interleaved, tokenizer: Tokenizer) -> str:
    """A sequence in words: media as ``<kind x3>`` with the positions they take, what is learned in double brackets.

    Special tokens are not shown, as a tokenizer does not give their text.
    """
    starts = {run.start: run for run in sequence.runs}
    pieces: list[str] = []
    ids: list[int] = []
    learned = False
    place = 0

    def flush() -> None:
        if ids:
            text = tokenizer.decode(ids)
            pieces.append(f"{_LEARNED[0]}{text}{_LEARNED[1]}" if learned and text else text)
            ids.clear()

    while place < len(sequence):
        run = starts.get(place)
        if run is not None:
            flush()
            shown = f"<{run.media.modality} x{run.length}>"
            pieces.append(f"{_LEARNED[0]}{shown}{_LEARNED[1]}" if run.target else shown)
            place += run.length
            continue
        now = int(sequence.labels[place]) != IGNORE
        if now != learned:
            flush()
            learned = now
        ids.append(int(sequence.ids[place]))
        place += 1
    flush()
    return "".join(pieces)


def page(found: Gathered, *, title: str, interleaver: Interleaver | None, remark: str = "") -> Report:
    """The page.

    Args:
        found: What to show.
        title: What was looked at.
        interleaver: Of the model, if there is one.
        remark: Why there is none.
    """
    total = sum(found.seen.values())
    said = [
        f"{total} samples were read in the order of the run; {len(found.bad)} more cannot be used.",
        f"What stands in {_LEARNED[0]}double brackets{_LEARNED[1]} is what the model is to learn."
        if interleaver
        else f"Lengths are not known: {remark}.",
    ]
    groups = [
        SampleGroup(
            f"{task} of {part}", _share(found.seen, (part, task), total), [_row(one, interleaver) for one in rows]
        )
        for (part, task), rows in sorted(found.shown.items())
    ]
    bad = {str(b.key)[:200]: f"{reason_of(b.error)}: {b.error.what}" for b in found.bad[:100]}
    return Report(
        title=title,
        summary="\n\n".join(said),
        samples=groups,
        samples_title="Samples as the model reads them",
        environment={f"cannot be used: {key}": why for key, why in bad.items()},
    )


def _share(seen: Mapping[tuple[str, str], int], group: tuple[str, str], total: int) -> str:
    return f"{seen[group]} of {total} samples ({seen[group] / total:.1%})."


def _row(one: Looked, interleaver: Interleaver | None) -> SampleRow:
    messages = one.sample.conversation.messages
    facts = [f"{key}: {one.sample.provenance[key]}" for key in _KEYS if key in one.sample.provenance]
    if one.sequence is not None:
        facts.append(f"{one.length} positions" + (f", {one.sequence.cut} turns cut" if one.sequence.cut else ""))
    references = [
        f"medium {n} edits medium {m.reference}"
        for n, m in enumerate(one.sample.conversation.media)
        if m.reference is not None
    ]
    note = "; ".join([f"{one.part} {one.sample.key}".strip(), *facts, *references])
    text = "" if one.sequence is None or interleaver is None else reading(one.sequence, interleaver.tokenizer)
    return SampleRow(one.sample.conversation.prompt(), messages[-1], None, note, text)
