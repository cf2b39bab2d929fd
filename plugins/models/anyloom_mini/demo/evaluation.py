"""Measures the model of a run and what it began with on held-out samples, and answers a few to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from anyloom import AnyToAnyModel
from anyloom.building import build_named
from anyloom.checking.cache_rules import frozen_problems
from anyloom.data.module import AnyToAnyData
from anyloom.evaluation.draw import pick
from anyloom.evaluation.measure import answer_samples, measure
from anyloom.features.cache import FeatureCache
from anyloom.interfaces import Evaluated, Metric, Sample, ValueInfo
from anyloom.network.config import ModelConfig
from anyloom.options import validate
from anyloom_mini.demo.plans import Plan
from anyloom_mini.demo.story import Story, tell

__all__ = ["Evaluation", "evaluate"]

Advance = Callable[[str, float], None]


@dataclass
class Evaluation:
    """What came out.

    Args:
        trained: Values of the run's model by name.
        before: Values of the model it is compared with.
        columns: What the two models are called.
        measures: What each value of a metric is, by the metric's key.
        shown: Answered samples, decoded.
        lesson: Answered samples of the lesson, by the name of the model that answered.
        parameters: Parameters of the model, by part.
        story: The story, if the recipe has one.
    """

    trained: dict[str, float] = field(default_factory=dict)
    before: dict[str, float] = field(default_factory=dict)
    columns: tuple[str, str] = ("trained", "untrained")
    measures: dict[str, Mapping[str, ValueInfo]] = field(default_factory=dict)
    shown: list[Evaluated] = field(default_factory=list)
    lesson: dict[str, list[Evaluated]] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    story: Story | None = None


@dataclass(frozen=True)
class _Questions:
    """Samples and what measures them."""

    samples: Sequence[Sample]
    metrics: Mapping[str, Metric]


def evaluate(plan: Plan, seed: int, advance: Advance) -> Evaluation:
    """Measure and answer.

    Args:
        plan: The run; its last stage's result is the trained model.
        seed: Of the choice of samples and of the answers.
        advance: Told what is being done and which share of it is over.
    """
    settings = plan.settings
    questions = _questions(settings.data or plan.stages[-1].sections["data"], settings.metrics, settings.split)
    asked = [questions]
    if settings.lesson is not None:
        asked.append(_questions(settings.lesson.data, settings.lesson.metrics, settings.split))
    trained, before = _models(plan, seed)
    columns = settings.columns
    found = Evaluation(columns=columns, measures={k: m.measures for q in asked for k, m in q.metrics.items()})
    found.parameters = {
        part.key: sum(p.numel() for p in part.component.parameters()) for part in trained.parts.components()
    }
    for model, values, name in ((trained, found.trained, columns[0]), (before, found.before, columns[1])):
        for part in asked:
            values |= _measured(plan, model, part, seed, partial(advance, f"measuring: {name}"))
    chosen = pick(questions.samples, settings.shown, seed + 1, examples=settings.shown_examples)
    found.shown = _answered(plan, trained, chosen, seed, advance)
    if settings.lesson is not None:
        of_task = [s for s in asked[1].samples if s.task == settings.lesson.task]
        chosen = pick(of_task, settings.shown, seed + 1, examples=settings.shown_examples)
        for model, name in ((before, columns[1]), (trained, columns[0])):
            found.lesson[name] = _answered(plan, model, chosen, seed, advance)
    if settings.story is not None:
        found.story = tell(settings.story, settings.split, seed, advance)
    return found


def _models(plan: Plan, seed: int) -> tuple[AnyToAnyModel, AnyToAnyModel]:
    """The run's model and what it is compared with; both have the same encoders."""
    last = plan.stages[-1]
    trained = AnyToAnyModel.from_pretrained(last.result, trust=True)  # made by the user's own config
    if plan.start is not None:
        before = AnyToAnyModel.from_pretrained(plan.start, trust=True)
    else:
        torch.manual_seed(seed)
        before = AnyToAnyModel(validate(ModelConfig, last.sections["model"], where="model")).eval()
    before.parts.encoders = trained.parts.encoders
    if not frozen_problems(trained.parts):
        trained.cache = before.cache = FeatureCache()
    return trained, before


def _questions(data: Mapping[str, Any], metrics: Mapping[str, Mapping[str, Any]], split: str) -> _Questions:
    everything = AnyToAnyData(data).samples(split)
    built = {k: build_named("metric", v, where=f"variables.demo.metrics.{k}") for k, v in metrics.items()}
    return _Questions([everything[i] for i in range(len(everything))], built)


def _measured(
    plan: Plan, model: AnyToAnyModel, questions: _Questions, seed: int, advance: Callable[[float], None]
) -> dict[str, float]:
    chosen = pick(questions.samples, plan.settings.measured, seed)
    chosen.sort(key=lambda s: (s.task, s.provenance.get("k", 0)))
    return measure(model, chosen, questions.metrics, seed=seed, batch_size=plan.settings.batch_size, advance=advance)


def _answered(
    plan: Plan, model: AnyToAnyModel, chosen: Sequence[Sample], seed: int, advance: Advance
) -> list[Evaluated]:
    size, answered = plan.settings.batch_size, []
    for start in range(0, len(chosen), size):
        advance("answering samples to show", start / len(chosen))
        answered += answer_samples(model, chosen[start : start + size], seed=seed, decode=True)
    return answered
