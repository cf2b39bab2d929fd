"""Makes the demo's report of what the run folder holds and what the evaluation found."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import torch
import yaml

from anyloom.interfaces import Evaluated
from anyloom.report import (
    Attribution,
    Curve,
    Headline,
    Measure,
    MeasuredRow,
    Report,
    SampleGroup,
    SampleRow,
    StageRow,
    read_metrics,
)
from anyloom_codi2.evaluation import Evaluation
from anyloom_codi2.plans import Plan
from anyloom_codi2.run_state import RunState
from anyloom_codi2.stages import metric_files

__all__ = ["make_report", "measures_of"]

_LIBRARIES: Final = ("anyloom", "torch", "lightning", "transformers", "diffusers", "torchmetrics")
_BASELINES: Final = (("_copying", "copying the input"), ("_arithmetic", "vector arithmetic"))
_WARNING: Final = (
    "This was a smoke run of a few steps: it shows that everything works. Its numbers and pictures mean nothing; "
    "run 'anyloom demo' without --quick for real ones."
)
_COLUMNS: Final = (
    "Trained: the model of this run. Untrained: the same model, encoders and decoders included, before its language "
    "model and projectors were trained. Copying the input: an answer that changes nothing. Vector arithmetic: the "
    "input's feature plus the difference that the one example shows, without any language model. All answer the same "
    "N questions; the best value of a row is green."
)


def make_report(plan: Plan, state: RunState, evaluation: Evaluation, seed: int) -> Report:
    """Put the report together."""
    settings = plan.settings
    return Report(
        title=settings.title,
        summary=settings.summary,
        warning=_WARNING if plan.quick else "",
        headlines=_headlines(plan, evaluation),
        measures=measures_of(evaluation, settings.tables, list(settings.tasks)),
        measures_note=_COLUMNS,
        samples=_samples(plan, evaluation.shown),
        curves=_curves(plan),
        stages=_stages(plan, state),
        environment=_environment(evaluation, seed),
        config=yaml.safe_dump({s.name: s.sections for s in plan.stages}, sort_keys=False, allow_unicode=True),
        attributions=[Attribution(*a) for a in settings.attributions],
    )


def measures_of(evaluation: Evaluation, opened: Sequence[str] = (), tasks: Sequence[str] = ()) -> list[Measure]:
    """A table for every value that its metric explains, with a row per group and the baselines beside it.

    Args:
        evaluation: The values.
        opened: Values ``<metric>/<value>`` that come first; the others are folded away, unless none is named.
        tasks: Tasks in the order of their rows; others come after these.
    """
    known = [f"{metric}/{value}" for metric, explained in evaluation.measures.items() for value in explained]
    order = [*(n for n in opened if n in known), *(n for n in known if n not in opened)]
    tables = [_measure(evaluation, name, tasks, folded=bool(opened) and name not in opened) for name in order]
    return [t for t in tables if t.rows]


def _measure(evaluation: Evaluation, name: str, tasks: Sequence[str], *, folded: bool) -> Measure:
    metric, _, value = name.partition("/")
    facts = evaluation.measures[metric][value]
    groups = sorted(_groups(evaluation.trained, metric, value), key=lambda g: _place(g, tasks))
    rows, columns = _rows(evaluation, metric, value, groups)
    return Measure(
        title=facts.title,
        explanation=facts.explanation,
        columns=columns,
        rows=rows,
        better=facts.better,
        form=facts.form,
        folded=folded,
    )


def _groups(values: Mapping[str, float], metric: str, value: str) -> list[str]:
    return [
        n[len(metric) + 1 : -len(value) - 1] for n in values if n.startswith(f"{metric}/") and n.endswith(f"/{value}")
    ]


def _rows(
    evaluation: Evaluation, metric: str, value: str, groups: Sequence[str]
) -> tuple[list[MeasuredRow], list[str]]:
    trained, untrained = evaluation.trained, evaluation.untrained
    baselines = [(s, n) for s, n in _BASELINES if any(f"{metric}/{g}/{value}{s}" in trained for g in groups)]
    rows = []
    for group in groups:
        name = f"{metric}/{group}/{value}"
        numbers = [trained[name], untrained.get(name), *(trained.get(name + suffix) for suffix, _ in baselines)]
        count = round(trained.get(f"{metric}/{group}/count", 0))
        part = group.partition("/")[0] in groups and "/" in group
        rows.append(MeasuredRow(label_of(group, part=part), numbers, count, part))
    return rows, ["trained", "untrained", *(n for _, n in baselines)]


def _place(group: str, tasks: Sequence[str]) -> tuple[int, str, int, str]:
    """Order of rows: by task, the whole task first, then by number of examples, then the other parts."""
    task, _, part = group.partition("/")
    kind = 0 if not part else 1 if part[:1] == "k" and part[1:].isdigit() else 2
    return (list(tasks).index(task) if task in tasks else len(tasks), task, kind, part)


def label_of(group: str, *, part: bool = False) -> str:
    """A group's name in words.

    Args:
        group: Task, or task and part.
        part: Leave the task out: it stands above.

    >>> label_of("exemplar/k1"), label_of("edit/tone"), label_of("sound-add")
    ('exemplar, 1 example', 'edit, tone', 'sound add')
    >>> label_of("exemplar/k0", part=True)
    'no example'
    """
    task, _, rest = group.partition("/")
    if rest[:1] == "k" and rest[1:].isdigit():
        rest = {"k0": "no example", "k1": "1 example"}.get(rest, f"{rest[1:]} examples")
    return ", ".join(p.replace("-", " ") for p in (task if not part else "", rest) if p)


def _headlines(plan: Plan, evaluation: Evaluation) -> list[Headline]:
    shown = []
    for headline in plan.settings.headlines:
        name, trained = headline.value, evaluation.trained.get(headline.value)
        if trained is None:
            continue
        metric, _, rest = name.partition("/")
        group, _, value = rest.rpartition("/")
        facts = evaluation.measures.get(metric, {}).get(value)
        form = facts.form if facts else "percent"
        others = [("untrained", evaluation.untrained.get(name))]
        others += [(words, evaluation.trained.get(name + suffix)) for suffix, words in _BASELINES]
        count = evaluation.trained.get(f"{metric}/{group}/count", 0)
        note = ", ".join(f"{words} {_number(v, form)}" for words, v in others if v is not None)
        shown.append(Headline(_number(trained, form), headline.label, f"{note} ({_counted(trained, count, form)})"))
    return shown


def _counted(value: float, count: float, form: str) -> str:
    """How many samples, and for shares the half-width of the 95 % interval (normal approximation)."""
    if form != "percent" or not count:
        return f"N = {count:.0f}"
    return f"N = {count:.0f}, ± {196 * (value * (1 - value) / count) ** 0.5:.1f}"


def _number(value: float, form: str) -> str:
    return f"{100 * value:.1f} %" if form == "percent" else f"{value:.2f}"


def _samples(plan: Plan, shown: Sequence[Evaluated]) -> list[SampleGroup]:
    groups: dict[str, list[SampleRow]] = {}
    for one in shown:
        messages = one.sample.conversation.messages
        row = SampleRow(one.sample.conversation.prompt(), messages[-1], one.answer, _note(one.sample.provenance))
        groups.setdefault(one.sample.task, []).append(row)
    explained = plan.settings.tasks
    order = sorted(groups, key=lambda t: list(explained).index(t) if t in explained else len(explained))
    return [SampleGroup(label_of(t).capitalize(), explained.get(t, ""), groups[t]) for t in order]


def _note(facts: Mapping[str, Any]) -> str:
    operation = facts.get("operation")
    return f"Operation: {operation}" if operation else ""


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
    facts = {
        "Parameters of the model": f"{total / 1e6:.1f} M: "
        + ", ".join(f"{n.removeprefix('model.')} {c / 1e6:.2f} M" for n, c in evaluation.parameters.items()),
        "Seed": str(seed),
        "Threads": str(torch.get_num_threads()),
        "Processor": _processor(),
        "Accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "Python": platform.python_version(),
    }
    for library in _LIBRARIES:
        try:
            facts[library] = version(library)
        except PackageNotFoundError:
            continue
    return facts


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")
    except OSError:
        return platform.processor() or platform.machine()
