"""The demo's tables and headlines: every measured value beside what it is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from anyloom.evaluation.intervals import interval_of_share
from anyloom.evaluation.results import count_name, named_parts
from anyloom.evaluation.suite import HeadlineSettings
from anyloom.report import Headline, Measure, MeasuredRow
from anyloom_mini.demo.evaluation import Evaluation

__all__ = ["headlines_of", "label_of", "measures_of"]

_BASELINES: Final = (("_copying", "copying the input"), ("_arithmetic", "vector arithmetic"))


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
    """Groups that have a value: tasks and their parts, but no parts of parts."""
    found = [n[len(metric) + 1 : -len(value) - 1] for n in values if named_parts(n)[::2] == (metric, value)]
    return [group for group in found if group.count("/") < 2]


def _rows(
    evaluation: Evaluation, metric: str, value: str, groups: Sequence[str]
) -> tuple[list[MeasuredRow], list[str]]:
    trained, before = evaluation.trained, evaluation.before
    baselines = [(s, n) for s, n in _BASELINES if any(f"{metric}/{g}/{value}{s}" in trained for g in groups)]
    rows = []
    for group in groups:
        name = f"{metric}/{group}/{value}"
        numbers = [trained[name], before.get(name), *(trained.get(name + suffix) for suffix, _ in baselines)]
        count = round(trained.get(count_name(name), 0))
        part = group.partition("/")[0] in groups and "/" in group
        rows.append(MeasuredRow(label_of(group, part=part), numbers, count, part))
    return rows, [*evaluation.columns, *(n for _, n in baselines)]


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


def headlines_of(evaluation: Evaluation, wanted: Sequence[HeadlineSettings]) -> list[Headline]:
    """The numbers at the top, each with what it is compared with; those that were not measured are left out."""
    shown = []
    for headline in wanted:
        name, trained = headline.value, evaluation.trained.get(headline.value)
        if trained is None:
            continue
        metric, _, value = named_parts(name)
        facts = evaluation.measures.get(metric, {}).get(value)
        form = facts.form if facts else "percent"
        others = [(evaluation.columns[1], evaluation.before.get(name))]
        others += [(words, evaluation.trained.get(name + suffix)) for suffix, words in _BASELINES]
        count = evaluation.trained.get(count_name(name), 0)
        note = ", ".join(f"{words} {_number(v, form)}" for words, v in others if v is not None)
        shown.append(Headline(_number(trained, form), headline.label, f"{note} ({_counted(trained, count, form)})"))
    return shown


def _counted(value: float, count: float, form: str) -> str:
    """How many samples, and for shares their 95 % interval."""
    if form != "percent" or not count:
        return f"N = {count:.0f}"
    low, high = interval_of_share(value, count)
    return f"N = {count:.0f}, 95 % interval {100 * low:.0f} to {100 * high:.0f} %"


def _number(value: float, form: str) -> str:
    return f"{100 * value:.1f} %" if form == "percent" else f"{value:.2f}"
