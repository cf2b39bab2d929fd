"""Makes the demo's report of what the run folder holds and what the evaluation found."""

from __future__ import annotations

from typing import Final

from anyloom.config.yaml_text import write_yaml
from anyloom.evaluation.environment import environment
from anyloom.evaluation.page import sample_groups, sample_row
from anyloom.report import Attribution, Curve, Report, SampleGroup, StageRow, read_metrics
from anyloom_mini.demo.evaluation import Evaluation
from anyloom_mini.demo.measures import headlines_of, measures_of
from anyloom_mini.demo.plans import Plan
from anyloom_mini.demo.run_state import RunState
from anyloom_mini.demo.stages import metric_files
from anyloom_mini.demo.story import headlines_of_story, measure_of_story, samples_of_story

__all__ = ["cut_by_time", "make_report"]

_WARNING: Final = (
    "This was a smoke run of a few steps: it shows that everything works. Its numbers and pictures mean nothing; "
    "run 'anyloom demo' without --quick for real ones."
)


def make_report(plan: Plan, state: RunState, evaluation: Evaluation, seed: int) -> Report:
    """Put the report together."""
    settings = plan.settings
    story = evaluation.story
    return Report(
        title=settings.title,
        summary=settings.summary,
        warning=_WARNING if plan.quick else cut_by_time(plan, state),
        headlines=[
            *headlines_of(evaluation, settings.headlines),
            *(headlines_of_story(story) if story else []),
        ],
        measures=[
            *(measure_of_story(story) if story else []),
            *measures_of(evaluation, settings.tables, list(settings.tasks)),
        ],
        measures_note=settings.columns_note,
        samples=[
            *(samples_of_story(story) if story else []),
            *_lesson(plan, evaluation),
            *sample_groups(evaluation.shown, settings.tasks),
        ],
        curves=_curves(plan),
        stages=_stages(plan, state),
        environment=_environment(evaluation, seed),
        config=write_yaml({s.name: s.sections for s in plan.stages}),
        attributions=[Attribution(*a) for a in settings.attributions],
    )


def cut_by_time(plan: Plan, state: RunState) -> str:
    """Which stages their time limit ended before their steps did."""
    found = []
    for stage in plan.stages:
        asked, done = int(stage.sections.get("trainer", {}).get("max_steps", -1)), state.record(stage.name).steps
        if done < asked:
            found.append(f"{stage.name} after {done:,} of {asked:,} steps")
    if not found:
        return ""
    return (
        f"The time limit ended {', '.join(found)}. Another run of this seed may stop elsewhere and give other numbers."
    )


def _lesson(plan: Plan, evaluation: Evaluation) -> list[SampleGroup]:
    """The same samples of the lesson, answered by both models."""
    lesson = plan.settings.lesson
    if lesson is None:
        return []
    return [
        SampleGroup(f"{lesson.title}: {name}", lesson.explanation, [sample_row(one) for one in answered])
        for name, answered in evaluation.lesson.items()
    ]


def _curves(plan: Plan) -> list[Curve]:
    curves = []
    for stage in plan.stages:
        logged = read_metrics(metric_files(plan, stage))
        losses = {n: p for n, p in logged.items() if n.endswith("/loss")}
        curves.append(Curve(stage.name, losses, explanation=stage.summary))
    return curves


def _stages(plan: Plan, state: RunState) -> list[StageRow]:
    rows = []
    for stage in plan.stages:
        record = state.record(stage.name)
        drawn = record.steps * int(stage.sections.get("data", {}).get("batch_size", 0))
        rows.append(
            StageRow(
                stage.name,
                stage.summary,
                record.seconds,
                record.steps,
                drawn / record.seconds if drawn and record.seconds else None,
                record.memory or None,
                record.parameters or None,
            )
        )
    return rows


def _environment(evaluation: Evaluation, seed: int) -> dict[str, str]:
    total = sum(evaluation.parameters.values())
    parts = ", ".join(f"{n.removeprefix('model.')} {c / 1e6:.2f} M" for n, c in evaluation.parameters.items())
    return {"Parameters of the model": f"{total / 1e6:.1f} M: {parts}", "Seed": str(seed), **environment()}
