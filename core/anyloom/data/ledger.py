"""The ledger: what became of every record that was read. Read = used + skipped, by reason, + cut.

Turns that were left out of a record because the conversation was too long are counted beside that: it was used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anyloom.errors import AnyloomError, BadRecord, ConversationError, MediaError

__all__ = ["Bad", "Ledger", "reason_of", "together"]

_EXAMPLES = 5
_GRACE = 1000


@dataclass(frozen=True)
class Bad:
    """A record that was skipped.

    Args:
        position: Its position in the order.
        part: Name of its set.
        key: Which record it is.
        error: What is wrong with it.

    >>> Bad(7, "mine", "line 3", MediaError("this is no PNG")).key
    'line 3'
    """

    position: int
    part: str
    key: str
    error: AnyloomError


def reason_of(error: AnyloomError) -> str | None:
    """Return what a record with this error is counted as; None if the error is not about one record.

    >>> reason_of(MediaError("this is no PNG"))
    'wrong format'
    >>> reason_of(AnyloomError("the disk is full")) is None
    True
    """
    reason = getattr(error, "reason", None)
    if isinstance(reason, str):
        return reason
    if isinstance(error, BadRecord | MediaError | ConversationError):
        return "wrong format" if isinstance(error, MediaError) else "bad row"
    return None


class Ledger:
    """Counts by set. Those of this process since it began, and those of all processes before that.

    Args:
        max_bad: Largest share of records that may be skipped.
        strict: Raise the error of the first bad record.
        expected: Records of an epoch: the share is first taken of so many, at most 1,000.

    >>> ledger = Ledger(max_bad=0.5)
    >>> ledger.count(["mine", "mine"], "read")
    >>> ledger.count(["mine"], "used")
    >>> ledger.skip([Bad(1, "mine", "a.jsonl:2", MediaError("this is no PNG", where="b.png"))])
    >>> ledger.total()
    {'read': 2, 'used': 1, 'cut': 0, 'skipped': {'wrong format': 1}}
    """

    def __init__(self, *, max_bad: float = 0.005, strict: bool = False, expected: int = _GRACE) -> None:
        self.max_bad, self.strict, self.expected = max_bad, strict, expected
        self._before: dict[str, Counter[str]] = {}
        self._here: dict[str, Counter[str]] = {}
        self._examples: dict[str, list[tuple[int, str]]] = {}

    def count(self, parts: Iterable[str], kind: str) -> None:
        """Count records: one of each named set.

        Args:
            parts: Name of the set of each record.
            kind: ``read``, ``used`` or ``cut``; or ``turns_lost``, once for each turn that used records lost.
        """
        for part, number in Counter(parts).items():
            self._here.setdefault(part, Counter())[kind] += number

    def skip(self, bad: Sequence[Bad]) -> None:
        """Count records that were skipped.

        Raises:
            anyloom.errors.AnyloomError: The ledger is strict, or too many have been skipped; names the most frequent
                reasons, with examples. Or an epoch of them (at least 1,000) was skipped and none
                used, whatever the share.
        """
        for record in bad:
            if self.strict:
                raise record.error
            reason = reason_of(record.error) or "bad row"
            self._here.setdefault(record.part, Counter())[f"skipped/{reason}"] += 1
            text = str(record.error)
            example = (record.position, text if record.key in text else f"{record.key}: {text}")
            self._examples[reason] = _first([*self._examples.get(reason, []), example])
        if bad:
            self._check()

    def clear(self) -> None:
        """Begin anew."""
        self._before, self._here, self._examples = {}, {}, {}

    def _check(self) -> None:
        whole = self.total()
        skipped = sum(whole["skipped"].values())
        allowed = self.max_bad * max(whole["read"], min(self.expected, _GRACE))
        # Whatever share is allowed, an epoch without one usable record would be followed by others for ever.
        none = whole["used"] == 0 and skipped >= max(self.expected, _GRACE)
        if skipped <= allowed and not none:
            return
        reasons = sorted(whole["skipped"].items(), key=lambda item: -item[1])[:3]
        lines = [f"{n} {reason}, such as {'; '.join(self.examples()[reason][:2])}" for reason, n in reasons]
        raise AnyloomError(
            f"{skipped} of {whole['read']} records cannot be used; {self.max_bad:.2%} are allowed: " + "; ".join(lines),
            where="data",
            fix="mend them" if none else "mend them, or raise data.max_bad",
        )

    def total(self) -> dict[str, Any]:
        """Return the counts of all sets together."""
        return _named(sum((c for c in self._counts().values()), Counter()))

    def state(self) -> dict[str, Any]:
        """Return the counts before this process began, those since, and examples; plain values."""
        return {
            "before": {part: dict(c) for part, c in self._before.items()},
            "here": {part: dict(c) for part, c in self._here.items()},
            "examples": {reason: [list(e) for e in found] for reason, found in self._examples.items()},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from the state of all processes, as :func:`together` makes it."""
        self._before = {part: Counter(c) for part, c in state["before"].items()}
        self._here = {}
        self._examples = {reason: [(p, e) for p, e in found] for reason, found in state["examples"].items()}

    def examples(self) -> dict[str, list[str]]:
        """Return the first bad records of each reason, with what is wrong with them."""
        return {reason: [text for _, text in found] for reason, found in sorted(self._examples.items())}

    def _counts(self) -> dict[str, Counter[str]]:
        parts = sorted({*self._before, *self._here})
        return {p: self._before.get(p, Counter()) + self._here.get(p, Counter()) for p in parts}

    def report(self) -> dict[str, Any]:
        """Return the counts of all sets together and of each, with examples: what ``ledger.json`` holds."""
        return {
            "total": self.total(),
            "sets": {part: _named(counts) for part, counts in self._counts().items()},
            "examples": self.examples(),
        }

    def __str__(self) -> str:
        whole = self.total()
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(whole["skipped"].items(), key=lambda i: -i[1]))
        skipped = f"{sum(whole['skipped'].values())} skipped" + (f" ({reasons})" if reasons else "")
        lost = f"; {whole['turns_lost']} turns were left out of those used" if "turns_lost" in whole else ""
        return f"{whole['read']} read = {whole['used']} used + {skipped} + {whole['cut']} cut{lost}"


def together(states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the state of all processes as one that any number of processes can go on from.

    Args:
        states: :meth:`Ledger.state` of each.

    >>> states = []
    >>> for _ in range(2):
    ...     ledger = Ledger()
    ...     ledger.count(["mine"], "read")
    ...     states.append(ledger.state())
    >>> together(states)["before"]
    {'mine': {'read': 2}}
    """
    before = {part: Counter(c) for part, c in states[0]["before"].items()}
    for state in states:
        for part, counts in state["here"].items():
            before[part] = before.get(part, Counter()) + Counter(counts)
    reasons = sorted({reason for state in states for reason in state["examples"]})
    found = {r: _first([(p, e) for state in states for p, e in state["examples"].get(r, [])]) for r in reasons}
    examples = {reason: [list(e) for e in some] for reason, some in found.items()}
    return {"before": {part: dict(c) for part, c in before.items()}, "here": {}, "examples": examples}


def _first(examples: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Those of the lowest positions, so that they are the same for any number of processes; each text once."""
    lowest: dict[str, int] = {}
    for position, text in sorted(examples):
        lowest.setdefault(text, position)
    return [(position, text) for text, position in lowest.items()][:_EXAMPLES]


def _named(counts: Mapping[str, int]) -> dict[str, Any]:
    skipped = {k.removeprefix("skipped/"): n for k, n in sorted(counts.items()) if k.startswith("skipped/")}
    lost = {"turns_lost": counts["turns_lost"]} if counts.get("turns_lost") else {}
    return {**{k: counts.get(k, 0) for k in ("read", "used", "cut")}, "skipped": skipped, **lost}
