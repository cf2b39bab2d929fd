"""Which output answers which question: by name, and never by place in a list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from anyloom.errors import ConfigError
from anyloom.evaluation.outputs import Output, natural

__all__ = ["Pairing", "pair"]

_NUMBERED = re.compile(r"(.+)[-_.#/]([0-9]{1,18})")


@dataclass
class Pairing:
    """What belongs together.

    Args:
        answers: Outputs of each question that has any, in the order of their numbers.
        missing: Questions without an output.
        unknown: Names of outputs that belong to no question.
        ambiguous: Names of outputs that are called as several questions are known.

    >>> Pairing(missing=["0002"]).answers
    {}
    """

    answers: dict[str, list[Output]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)


def pair(questions: Mapping[str, Sequence[str]], outputs: Iterable[Output], pattern: str | None = None) -> Pairing:
    """Find the question of each output.

    An output is called like its question; or like it with a number behind ``-``, ``_``, ``.`` or ``#``, where a
    question has several answers; or it lies in a folder that is called like it (GenEval's ``00000/samples/0000.png``).

    Args:
        questions: Name of each question, with other names that it is known by.
        outputs: What was made.
        pattern: How outputs are called instead, such as ``task_{key}-{n}``; ``*`` stands for anything but ``/``.

    Raises:
        anyloom.errors.ConfigError: Two outputs are the same answer, or the pattern has no ``{key}``.

    >>> from anyloom.conversation import Message
    >>> outputs = [Output(name, name, Message("assistant", "yes?")) for name in ("0001", "0003")]
    >>> found = pair({"0001": (), "0002": ()}, outputs)
    >>> list(found.answers), found.missing, found.unknown
    (['0001'], ['0002'], ['0003'])
    """
    known, shared = _known(questions)
    shape = None if pattern is None else _compiled(pattern)
    found: dict[str, list[tuple[int | None, Output]]] = {}
    pairing = Pairing()
    for output in outputs:
        place = _place(output.name, known) if shape is None else _by_pattern(output.name, known, shape)
        if place is None:
            common = _place(output.name, shared) if shape is None else _by_pattern(output.name, shared, shape)
            (pairing.unknown if common is None else pairing.ambiguous).append(output.name)
        else:
            found.setdefault(place[0], []).append((place[1], output))
    for name in questions:
        if name in found:
            pairing.answers[name] = _ordered(name, found[name])
        else:
            pairing.missing.append(name)
    return pairing


def _known(questions: Mapping[str, Sequence[str]]) -> tuple[dict[str, str], dict[str, str]]:
    """Names -> the question that alone is known by it; names that several are known by, and that are nobody's own."""
    owners: dict[str, list[str]] = {}
    for name, others in questions.items():
        for other in set(others):
            owners.setdefault(other, []).append(name)
    known = {other: names[0] for other, names in owners.items() if len(names) == 1}
    shared = {other: other for other, names in owners.items() if len(names) > 1 and other not in questions}
    return known | {name: name for name in questions}, shared


def _place(name: str, known: Mapping[str, str]) -> tuple[str, int | None] | None:
    if name in known:
        return known[name], None
    numbered = _NUMBERED.fullmatch(name)
    if numbered and numbered[1] in known:
        return known[numbered[1]], int(numbered[2])
    folders = [folder.as_posix() for folder in PurePosixPath(name).parents]
    return next(((known[folder], None) for folder in folders if folder in known), None)


def _by_pattern(name: str, known: Mapping[str, str], shape: re.Pattern[str]) -> tuple[str, int | None] | None:
    match = shape.fullmatch(name)
    if match is None or match["key"] not in known:
        return None
    number = match.groupdict().get("n")
    return known[match["key"]], None if number is None else int(number)


def _compiled(pattern: str) -> re.Pattern[str]:
    if pattern.count("{key}") != 1 or pattern.count("{n}") > 1:
        raise ConfigError("a pattern has {key} once, and {n} at most once", where=pattern, fix="such as out/{key}_{n}")
    text = re.escape(pattern).replace(r"\{key\}", r"(?P<key>.+?)").replace(r"\{n\}", r"(?P<n>[0-9]{1,18})")
    return re.compile(text.replace(r"\*", "[^/]*"))


def _ordered(name: str, found: list[tuple[int | None, Output]]) -> list[Output]:
    numbers = [number for number, _ in found if number is not None]
    same_name = {output.name for _, output in found}
    if len(set(numbers)) < len(numbers) or len(same_name) < len(found):
        listed = ", ".join(output.where for _, output in found[:4])
        raise ConfigError(f"several outputs are the same answer: {listed}", where=name, fix="leave one of them")
    order = sorted(found, key=lambda one: (-1 if one[0] is None else one[0], natural(one[1].name)))
    return [output for _, output in order]
