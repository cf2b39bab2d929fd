"""Asks a baseline every question of a suite, and writes what it answers as any other program would."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from anyloom.conversation.segments import Conversation, Text
from anyloom.data.module import AnyToAnyData
from anyloom.errors import AnyloomError, ConfigError
from anyloom.evaluation.runner import asked_by
from anyloom.evaluation.scoring import named_samples
from anyloom.evaluation.suite import Suite
from anyloom.interfaces.baseline import Baseline, Question
from anyloom.interfaces.dataset import Sample
from anyloom.media.answers import answer_json
from anyloom.sequence.seeds import seed_of
from anyloom.storage.atomic import write_text
from anyloom.storage.json_text import json_value

__all__ = ["answer_suite", "question_of"]

_LIST: Final = "answers.jsonl"
_FACTS: Final = "baseline.json"


def question_of(sample: Sample) -> Question:
    """What a baseline may see of a sample.

    >>> from anyloom.conversation.segments import Media, Message
    >>> asked = Message("user", [Media("picture"), "make it red"])
    >>> sample = Sample(Conversation([asked, Message("assistant", ["Here: ", Media("picture")])]), "edit")
    >>> question_of(sample).wanted, question_of(sample).instruction
    (('text', 'picture'), 'make it red')
    """
    target = sample.conversation.messages[-1]
    wanted = tuple("text" if isinstance(s, Text) else s.modality for s in target.segments)
    return Question(sample.conversation.prompt(), wanted, sample.provenance)


def answer_suite(
    suite: Suite,
    baseline: Baseline,
    folder: Path,
    *,
    identity: Mapping[str, Any],
    seed: int = 0,
    device: torch.device | None = None,
    advance: Callable[[float], None] = lambda share: None,
) -> dict[str, str]:
    """Answer a suite's questions into a folder that :func:`anyloom.evaluation.scoring.score` reads.

    Each answer is written before the next question is asked, so a run that was cut off goes on where it was.

    Args:
        suite: The questions.
        baseline: Who is asked.
        folder: Gets ``answers.jsonl`` and the media beside it.
        identity: What the baseline was built from; answers of another one in the folder are an error.
        seed: Of the answers; each depends on it and on the question's name alone.
        device: Where to compute; the CPU by default.
        advance: Told which share of the questions is over.

    Returns:
        Why, by name, a question could not be answered.

    Raises:
        anyloom.errors.ConfigError: The folder holds answers of another baseline, seed or suite.
    """
    _claim(folder, {"baseline": dict(identity), "seed": seed, "asked": asked_by(suite)})
    data = AnyToAnyData(suite.data)
    training: Sequence[Sample] = ()
    if baseline.needs_training_set:
        found = data.samples("train")
        training = [found[n] for n in range(len(found))]
    baseline.prepare(training, device or torch.device("cpu"))
    names = {
        name if n == 0 else f"{name}#{n}": sample
        for name, sample in named_samples(suite).items()
        for n in range(suite.answers)
    }
    done, failed = _answered(folder / _LIST), dict[str, str]()
    with (folder / _LIST).open("a", encoding="utf-8") as lines:
        for number, (name, sample) in enumerate(names.items()):
            if name not in done:
                try:
                    answer = baseline.answer(question_of(sample), seed_of(seed, name, 0))
                except AnyloomError as error:
                    failed[name] = str(error)
                else:
                    value, _ = answer_json(Conversation([]), answer, folder / "media", f"{number:06d}")
                    lines.write(json.dumps({"key": name, **_below(value, "media")}, ensure_ascii=False) + "\n")
                    lines.flush()
            advance((number + 1) / len(names))
    return failed


def _claim(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write down whose answers the folder holds, or check that they are these."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(facts, indent=1, sort_keys=True, default=str)
    file = folder / _FACTS
    if file.is_file() and file.read_text(encoding="utf-8") != text:
        raise ConfigError(
            "the folder holds answers of another baseline, seed or suite", where=str(folder), fix="give another folder"
        )
    write_text(file, text)


def _answered(file: Path) -> set[str]:
    """Names with a whole line; what a kill has left of the last line is cut off. Only a line feed ends a line."""
    if not file.is_file():
        return set()
    content = file.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        file.write_bytes(whole)
    try:
        return {str(json_value(line)["key"]) for line in whole.split(b"\n") if line.strip()}
    except (ValueError, KeyError, TypeError) as error:
        what = f"a line is none that a baseline has written ({error!r:.100})"
        raise ConfigError(what, where=str(file), fix="give another folder, or delete this one") from error


def _below(value: dict[str, Any], folder: str) -> dict[str, Any]:
    """The answer's JSON form with its paths seen from the folder above."""
    for message in value["messages"]:
        for part in message["content"] if isinstance(message["content"], list) else []:
            if "path" in part:
                part["path"] = f"{folder}/{part['path']}"
    return value
