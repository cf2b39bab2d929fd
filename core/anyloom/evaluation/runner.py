"""Runs a suite on a model."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from anyloom.building import build_named
from anyloom.checking.cache_rules import frozen_problems
from anyloom.errors import ConfigError, nearest
from anyloom.evaluation.control import of_control, update_with_control
from anyloom.evaluation.draw import pick
from anyloom.evaluation.halves import samples_of_split
from anyloom.evaluation.measure import answer_samples, answered, measure, values, wanted_batches
from anyloom.evaluation.results import Results, Value, count_name
from anyloom.evaluation.sign_test import SignTest, compare
from anyloom.evaluation.suite import ComparisonSettings, Suite
from anyloom.features.cache import FeatureCache
from anyloom.interfaces.dataset import Sample
from anyloom.interfaces.metric import Evaluated, Metric
from anyloom.model.model import AnyToAnyModel
from anyloom.sequence.seeds import sample_name

__all__ = [
    "able", "answer_share", "answers_to_show", "asked_by", "control_of", "measured", "metrics_of", "repeated",
    "results_of", "run_suite", "samples_of",
]  # fmt: skip

Advance = Callable[[str, float], None]


def run_suite(
    model: AnyToAnyModel, suite: Suite, *, seed: int = 0, advance: Advance
) -> tuple[Results, list[Evaluated]]:
    """Measure a model and answer a few samples to show.

    Args:
        model: The model, in eval mode and on its device.
        suite: What to ask.
        seed: Of the choice of samples and of the answers.
        advance: Told what is being done and which share of it is over.

    Returns:
        The results, with facts about samples and time alone; and the samples to show with decoded answers.
    """
    started = time.monotonic()
    _remember_features(model)
    samples, unable = able(model, samples_of(suite))
    if not samples:
        fix = "evaluate a model that reads and makes what the suite asks for"
        raise ConfigError(f"no sample can be asked: {', '.join(unable)}", where="suite.data", fix=fix)
    metrics = metrics_of(suite, samples)
    chosen = pick(samples, suite.queries, seed, limits=suite.limits)
    results = measured(model, chosen, metrics, seed=seed, batch_size=suite.batch_size, advance=advance)
    results.tests = [(c, _tested(c, {**metrics_of(suite), **metrics})) for c in suite.comparisons]
    advance("decoding true features", 0.0)
    results.merge(control_of(model, suite, samples, seed=seed))
    shown = answers_to_show(model, suite, samples, seed=seed, advance=advance)
    results.facts |= {
        "title": suite.title,
        "split": suite.split,
        "queries": suite.queries,
        "seed": seed,
        "asked": asked_by(suite),
        "not asked": unable,
        "seconds": round(time.monotonic() - started, 1),
        "parameters": {p.key: sum(n.numel() for n in p.component.parameters()) for p in model.parts.components()},
    }
    return results, shown


def answer_share(
    model: AnyToAnyModel, suite: Suite, *, seed: int = 0, rank: int, processes: int, advance: Advance
) -> None:
    """Answer every so many-th of the batches that :func:`run_suite` asks, alike; who kept them need not ask again.

    Args:
        model: The model, in eval mode and on its device; its answers are kept.
        suite: What to ask.
        seed: Of the choice of samples and of the answers.
        rank: Of this process, from 0.
        processes: How many share the batches.
        advance: Told what is being done and which share of it is over.
    """
    _remember_features(model)
    samples, _ = able(model, samples_of(suite))
    metrics = metrics_of(suite, samples)
    asked = _in_order(pick(samples, suite.queries, seed, limits=suite.limits))
    own = wanted_batches(asked, metrics, suite.batch_size)[rank::processes]
    for number, batch in enumerate(own):
        advance("answering", number / len(own))
        answered(model, batch, metrics, seed=seed)


def _remember_features(model: AnyToAnyModel) -> None:
    if model.cache is None and not frozen_problems(model.parts):
        model.cache = FeatureCache()


def metrics_of(suite: Suite, samples: Sequence[Sample] | None = None) -> dict[str, Metric]:
    """Build the suite's metrics; of samples, those that want any: others may look at what a model does not have."""
    built = {k: build_named("metric", v, where=f"suite.metrics.{k}") for k, v in suite.metrics.items()}
    return {k: m for k, m in built.items() if samples is None or any(m.wants(sample) for sample in samples)}


def able(model: AnyToAnyModel, samples: Sequence[Sample]) -> tuple[list[Sample], dict[str, int]]:
    """The samples that a model can be asked, and how many it cannot be for want of which modality.

    Args:
        model: The model.
        samples: Any samples; their last message is the target.
    """
    known, able_, unable = model.config.modalities, list[Sample](), Counter[str]()
    for sample in samples:
        read = {m.modality for m in sample.conversation.prompt().media}
        made = {m.modality for m in sample.conversation.messages[-1].media}
        blind = sorted(m for m in read if m not in known or known[m].encoder is None)
        mute = sorted(m for m in made if m not in known)
        if blind or mute:
            unable[f"the model does not {f'read {blind[0]}' if blind else f'make {mute[0]}'}"] += 1
        else:
            able_.append(sample)
    return able_, dict(unable)


def asked_by(suite: Suite) -> str:
    """Hash of what decides which questions are asked and how answers are scored.

    >>> suite = Suite(title="Mine", data={}, metrics={})
    >>> asked_by(suite) == asked_by(suite.model_copy(update={"title": "Yours"}))  # of what is asked alone
    True
    """
    settings = suite.model_dump(mode="json", include={"data", "split", "answers", "limits", "metrics"})
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]


def samples_of(suite: Suite) -> list[Sample]:
    """All samples of the suite's split, each as often as it is to be answered."""
    samples = samples_of_split(suite.data, suite.split)
    return [one for sample in samples for one in repeated(sample, suite.answers)]


def repeated(sample: Sample, times: int) -> list[Sample]:
    """A sample as it is, and again by other names, so that other answers are drawn.

    >>> from anyloom.conversation import Conversation
    >>> [one.key for one in repeated(Sample(Conversation([]), "chat", key="line-1"), 3)]
    ['line-1', 'line-1#1', 'line-1#2']
    """
    return [sample, *(replace(sample, key=f"{sample_name(sample)}#{n}") for n in range(1, times))]


def measured(
    model: AnyToAnyModel,
    samples: Sequence[Sample],
    metrics: Mapping[str, Metric],
    *,
    seed: int,
    batch_size: int,
    advance: Advance,
) -> Results:
    """Values with counts and standard errors. Samples of a kind are answered together."""
    order, told = _in_order(samples), partial(advance, "measuring")
    found = measure(model, order, metrics, seed=seed, batch_size=batch_size, advance=told)
    return results_of(metrics, found)


def control_of(
    model: AnyToAnyModel, suite: Suite, samples: Sequence[Sample], *, seed: int, rank: int = 0, processes: int = 1
) -> Results:
    """What the suite's metrics say of media that are decoded from true features; nothing where it asks for none.

    Args:
        model: The model.
        suite: What is asked; ``controls`` says of how many samples per task.
        samples: All samples that can be asked.
        seed: Of the choice and of the decoders.
        rank: Of this process, where several share the samples and torch.distributed joins what they found.
        processes: How many share them.
    """
    if not suite.controls:
        return Results()
    metrics = metrics_of(suite, samples)
    for metric in metrics.values():
        metric.to(model.device)
    chosen = pick(samples, min(suite.controls, suite.queries), seed, limits=suite.limits)
    update_with_control(model, chosen[rank::processes], metrics, seed=seed, batch_size=suite.batch_size)
    return of_control(results_of(metrics, values(metrics)))


def _in_order(samples: Sequence[Sample]) -> list[Sample]:
    return sorted(samples, key=lambda s: (s.task, s.provenance.get("k", 0)))


def results_of(metrics: Mapping[str, Metric], found: Mapping[str, float]) -> Results:
    """Computed values with what the metrics say of them: counts, standard errors, flags, scores.

    >>> results_of({}, {"words/all/right": 0.5}).values
    {'words/all/right': Value(value=0.5, count=0, error=None)}
    """
    results = Results()
    errors: dict[str, float] = {}
    for key, metric in metrics.items():
        results.add(key, metric)
        errors |= {f"{key}/{name}": e for name, e in metric.standard_errors().items()} if metric.update_called else {}
    for name, value in found.items():
        if not name.endswith("/count"):
            results.values[name] = Value(value, round(found.get(count_name(name), 0)), errors.get(name))
    return results


def _tested(comparison: ComparisonSettings, metrics: Mapping[str, Metric]) -> SignTest:
    key, _, value = comparison.value.partition("/")
    if key not in metrics:
        raise ConfigError(
            f"no metric of the suite is called {key!r}", where="suite.comparisons", fix=nearest(key, metrics)
        )
    metric = metrics[key]
    scores = metric.scores() if metric.update_called else []
    info = metric.measures.get(value)
    lower = info is not None and info.better == "lower"
    return compare(scores, value, comparison.better, comparison.than, lower=lower)


def answers_to_show(
    model: AnyToAnyModel, suite: Suite, samples: Sequence[Sample], *, seed: int, advance: Advance
) -> list[Evaluated]:
    """A few samples of each task with decoded answers, drawn by chance."""
    chosen = pick(samples, suite.shown, seed + 1, examples=suite.shown_examples) if suite.shown else []
    shown: list[Evaluated] = []
    for start in range(0, len(chosen), suite.batch_size):
        advance("answering samples to show", start / len(chosen))
        shown += answer_samples(model, chosen[start : start + suite.batch_size], seed=seed, decode=True)
    return shown
