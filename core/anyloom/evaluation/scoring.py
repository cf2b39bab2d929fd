"""Scores what another program made: the questions and metrics of a suite, the answers of a folder, and no model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from anyloom.conversation.segments import Message
from anyloom.errors import ConfigError
from anyloom.evaluation.halves import samples_of_split
from anyloom.evaluation.measure import values
from anyloom.evaluation.outputs import Output, read_outputs
from anyloom.evaluation.pairing import Pairing, pair
from anyloom.evaluation.results import Results
from anyloom.evaluation.runner import asked_by, metrics_of, repeated, results_of
from anyloom.evaluation.suite import Suite
from anyloom.interfaces.dataset import Sample
from anyloom.interfaces.metric import Evaluated
from anyloom.sequence.seeds import sample_name

__all__ = ["named_samples", "score"]

_NO_ANSWER: Final = Message("assistant", [])


def score(
    suite: Suite, place: Path, *, names: str | None = None, advance: Callable[[float], None] = lambda share: None
) -> tuple[Results, list[Evaluated]]:
    """Score answers that are there already.

    A question without an output counts as not answered: it lowers nothing, but each metric says how many there were.

    Args:
        suite: Questions and metrics. Metrics that look at the model are left out, and named.
        place: The answers, see :mod:`anyloom.evaluation.outputs`.
        names: How the outputs are called, if not like the questions; see :func:`anyloom.evaluation.pairing.pair`.
        advance: Told which share of the samples is over.

    Returns:
        The results, whose facts name what did not pair and could not be read; and a few samples to show.

    Raises:
        anyloom.errors.ConfigError: Nothing pairs, two outputs are the same answer, or no metric can do without a model.
    """
    started = time.monotonic()
    every = metrics_of(suite)
    metrics = {key: metric for key, metric in every.items() if not metric.needs_model}
    if not metrics:
        raise ConfigError("all metrics of this suite look at the model", where="suite.metrics", fix="use 'evaluate'")
    outputs = read_outputs(place)
    samples = named_samples(suite)
    pairing = pair({name: _others(sample) for name, sample in samples.items()}, outputs.found, names)
    if not pairing.answers:
        what = _none_pairs(pairing, outputs.unreadable, list(samples))
        raise ConfigError(what, where=str(place), fix="rename or mend them, or give --names")
    evaluated = [e for name, sample in samples.items() for e in _answered(sample, pairing, name, suite.answers)]
    for metric in metrics.values():
        metric.reset()
        metric.prepare(None)
    for start in range(0, len(evaluated), suite.batch_size):
        batch = evaluated[start : start + suite.batch_size]
        for metric in metrics.values():
            wanted = [one for one in batch if metric.wants(one.sample)]
            if wanted:
                metric.update(wanted)
        advance((start + len(batch)) / len(evaluated))
    results = results_of(metrics, values(metrics))
    results.facts |= {
        "title": suite.title,
        "split": suite.split,
        "queries": len(evaluated),
        "asked": asked_by(suite),
        "seconds": round(time.monotonic() - started, 1),
        **_pairing_facts(pairing, outputs.unreadable, outputs.ignored, suite.answers),
        "left out": sorted(every.keys() - metrics.keys()),
    }
    return results, [one for one in evaluated if one.answer.segments][: max(suite.shown, 0) * 4]


def named_samples(suite: Suite) -> dict[str, Sample]:
    """The suite's samples by their names; where these are not unique, with the task before them."""
    samples = samples_of_split(suite.data, suite.split)
    named = {_called(sample): sample for sample in samples}
    if len(named) < len(samples):  # such as one recording that is asked about in several ways
        named = {f"{sample.task}/{_called(sample)}": sample for sample in samples}
    if len(named) < len(samples):
        raise ConfigError(
            f"{len(samples) - len(named)} samples of the suite are called like others",
            where="suite.data",
            fix="give every sample a name of its own, or score one data set after the other",
        )
    return named


def _called(sample: Sample) -> str:
    """Its name for people: what its data set calls it, where it has no other, or none but its place."""
    names = _others(sample)
    placed = not sample.key or sample.key == sample.provenance.get("source")
    return names[0] if names and placed else sample_name(sample)


def _others(sample: Sample) -> Sequence[str]:
    return [str(other) for other in sample.provenance.get("names", ())]


def _answered(sample: Sample, pairing: Pairing, name: str, times: int) -> list[Evaluated]:
    found: list[Output | None] = [*pairing.answers.get(name, [])[:times]]
    found += [None] * (times - len(found))
    return [
        Evaluated(one, _NO_ANSWER if output is None else output.answer)
        for one, output in zip(repeated(sample, times), found)
    ]


def _none_pairs(pairing: Pairing, unreadable: Mapping[str, str], names: Sequence[str]) -> str:
    some = ", ".join([*pairing.unknown, *pairing.ambiguous][:3])
    if not some:
        where, what = next(iter(unreadable.items()))
        return f"none of {len(unreadable)} outputs can be read, such as {where}: {what}"
    return f"no output is called like a question: there is {some}; questions are called {', '.join(names[:3])}"


def _pairing_facts(pairing: Pairing, unreadable: dict[str, str], ignored: Sequence[str], times: int) -> dict[str, Any]:
    surplus = [output.name for found in pairing.answers.values() for output in found[times:]]
    short = {name: len(found) for name, found in pairing.answers.items() if len(found) < times}
    return {
        "paired": sum(min(len(found), times) for found in pairing.answers.values()),
        "questions without an output": pairing.missing,
        "questions with fewer outputs": short,
        "outputs of no question": pairing.unknown,
        "outputs called like several questions": pairing.ambiguous,
        "outputs beyond those asked for": surplus,
        "unreadable": unreadable,
        "ignored files": list(ignored),
    }
