"""Measures the trained model and the same model before training on held-out samples, and answers a few to show."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from anyloom import AnyToAnyModel
from anyloom.building import build_named
from anyloom.config.validation import validate
from anyloom.data.module import AnyToAnyData
from anyloom.interfaces import Evaluated, Metric, Sample, ValueInfo
from anyloom.model.config import ModelConfig
from anyloom.training.measure import answer_samples, measure
from anyloom_codi2.plans import Plan

__all__ = ["Evaluation", "evaluate", "pick"]


@dataclass
class Evaluation:
    """What came out.

    Args:
        trained: Values of the trained model by name.
        untrained: Values of the same model whose language model and projectors are random.
        measures: What each value of a metric is, by the metric's key.
        shown: Answered samples, decoded.
        parameters: Parameters of the model, by part.
    """

    trained: dict[str, float] = field(default_factory=dict)
    untrained: dict[str, float] = field(default_factory=dict)
    measures: dict[str, Mapping[str, ValueInfo]] = field(default_factory=dict)
    shown: list[Evaluated] = field(default_factory=list)
    parameters: dict[str, int] = field(default_factory=dict)


def evaluate(plan: Plan, seed: int, advance: Callable[[str, float], None]) -> Evaluation:
    """Measure and answer.

    Args:
        plan: The run; its last stage's result is the trained model.
        seed: Of the choice of samples and of the answers.
        advance: Told what is being done and which share of it is over.
    """
    last = plan.stages[-1]
    trained = AnyToAnyModel.from_pretrained(last.result)
    torch.manual_seed(seed)
    untrained = AnyToAnyModel(validate(ModelConfig, last.sections["model"], where="model")).eval()
    untrained.parts.encoders = trained.parts.encoders
    data = AnyToAnyData(plan.settings.data or last.sections["data"])
    everything = data.samples(plan.settings.split)
    samples = [everything[i] for i in range(len(everything))]
    metrics: dict[str, Metric] = {
        k: build_named("metric", v, where=f"variables.demo.metrics.{k}") for k, v in plan.settings.metrics.items()
    }
    found = Evaluation(measures={k: m.measures for k, m in metrics.items()})
    found.parameters = {
        name: sum(p.numel() for p in part.parameters()) for name, part in trained.parts.components().items()
    }
    measured = pick(samples, plan.settings.measured, seed)
    measured.sort(key=lambda s: (s.task, s.provenance.get("k", 0)))
    size = plan.settings.batch_size
    ask = partial(measure, samples=measured, metrics=metrics, batch_size=size)
    found.trained = ask(trained, advance=partial(advance, "measuring the trained model"))
    found.untrained = ask(untrained, advance=partial(advance, "measuring it untrained"))
    chosen = pick(samples, plan.settings.shown, seed + 1, examples=plan.settings.shown_examples)
    for start in range(0, len(chosen), size):
        advance("answering samples to show", start / len(chosen))
        found.shown += answer_samples(trained, chosen[start : start + size], seed=seed + start, decode=True)
    return found


def pick(samples: Sequence[Sample], count: int, seed: int, *, examples: int | None = None) -> list[Sample]:
    """Draw at most ``count`` samples of each kind, by chance and not by result.

    Queries that come with several numbers of examples are drawn together, so that these are compared on equal queries.

    Args:
        samples: What to draw from.
        count: Samples per kind.
        seed: Of the draw.
        examples: Take only samples whose number of examples is nearest to this; else each number is a kind.
    """
    groups: dict[tuple[str, Any], list[Sample]] = {}
    for sample in samples:
        k = sample.provenance.get("k") if examples is None else None
        groups.setdefault((sample.task, k), []).append(sample)
    chosen: list[Sample] = []
    for (task, _), members in groups.items():
        if examples is not None:
            numbers = {s.provenance.get("k", 0) for s in members}
            nearest = min(numbers, key=lambda n: (abs(n - examples), n))
            members = [s for s in members if s.provenance.get("k", 0) == nearest]
        order = list(range(len(members)))
        random.Random(f"{seed}/{task}").shuffle(order)
        chosen += [members[i] for i in sorted(_alternating(members, order)[:count])]
    return chosen


def _alternating(members: Sequence[Sample], order: Sequence[int]) -> list[int]:
    """The same order, but families take turns, so that few samples still show all of them."""
    seen: Counter[Any] = Counter()
    turns: dict[int, int] = {}
    for i in order:
        family = members[i].provenance.get("family")
        turns[i] = seen[family]
        seen[family] += 1
    return sorted(order, key=turns.__getitem__)
