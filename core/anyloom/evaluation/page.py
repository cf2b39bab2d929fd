"""The report of a suite's results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from anyloom.config.yaml_text import write_yaml
from anyloom.evaluation.intervals import EXPLAINED
from anyloom.evaluation.results import Results
from anyloom.evaluation.suite import Suite
from anyloom.evaluation.tables import shown_value, tables_of, value_interval
from anyloom.interfaces.metric import Evaluated
from anyloom.report import Attribution, Headline, Report, SampleGroup, SampleRow

__all__ = ["make_report", "sample_groups", "sample_row"]

_NOTE: Final = f"All columns of a row answer the same queries, N of them. {EXPLAINED} The best value of a row is green."


def make_report(suite: Suite, results: Results, shown: Sequence[Evaluated]) -> Report:
    """Put the report together."""
    return Report(
        title=suite.title,
        summary=suite.summary,
        headlines=_headlines(suite, results),
        measures=tables_of(suite, results),
        measures_note=_NOTE,
        samples=sample_groups(shown, suite.tasks),
        environment=_facts(results.facts),
        config=write_yaml(suite.model_dump()),
        attributions=[Attribution(*a) for a in suite.attributions],
    )


def _headlines(suite: Suite, results: Results) -> list[Headline]:
    found = []
    for headline in suite.headlines:
        value, info = results.values.get(headline.value), results.info(headline.value)
        if value is not None:
            interval = value_interval(results, headline.value, value)
            shown = shown_value(value.value, interval, info.form if info else "percent")
            found.append(Headline(shown, headline.label, f"N = {value.count}"))
    for comparison, test in results.tests:
        if test.wins or test.losses:
            note = f"sign test: {test.wins} queries better, {test.losses} worse, {test.ties} equal"
            found.append(Headline(f"p = {test.p:.2g}", comparison.label, note))
    return found


def sample_groups(shown: Sequence[Evaluated], explained: dict[str, str]) -> list[SampleGroup]:
    """Answered samples by task.

    Args:
        shown: The samples.
        explained: What each task asks, in the order of the groups.

    >>> from anyloom.conversation import Conversation, Message
    >>> from anyloom.interfaces import Sample
    >>> talk = Conversation([Message("user", "hello"), Message("assistant", "yes?")])
    >>> shown = [Evaluated(Sample(talk, "chat"), Message("assistant", "hello"))]
    >>> [(group.title, len(group.rows)) for group in sample_groups(shown, {"chat": "A greeting is answered."})]
    [('Chat', 1)]
    """
    groups: dict[str, list[SampleRow]] = {}
    for one in shown:
        groups.setdefault(one.sample.task, []).append(sample_row(one))
    order = sorted(groups, key=lambda t: list(explained).index(t) if t in explained else len(explained))
    return [SampleGroup(t.replace("-", " ").capitalize(), explained.get(t, ""), groups[t]) for t in order]


def sample_row(one: Evaluated, verdict: str = "") -> SampleRow:
    """An answered sample.

    Args:
        one: The sample and its answer.
        verdict: A remark about the answer.

    >>> from anyloom.conversation import Conversation, Message
    >>> from anyloom.interfaces import Sample
    >>> talk = Conversation([Message("user", "hello"), Message("assistant", "yes?")])
    >>> row = sample_row(Evaluated(Sample(talk, "chat"), Message("assistant", "hello")), "not what was wanted")
    >>> row.target.text, row.output.text, row.note
    ('yes?', 'hello', 'not what was wanted')
    """
    operation = one.sample.provenance.get("operation")
    note = ". ".join(part for part in (f"Operation: {operation}" if operation else "", verdict) if part)
    return SampleRow(one.sample.conversation.prompt(), one.sample.conversation.messages[-1], one.answer, note)


def _facts(facts: dict[str, Any]) -> dict[str, str]:
    shown = {k.capitalize(): str(v) for k, v in facts.items() if isinstance(v, (str, int, float)) and k != "title"}
    total = sum(facts.get("parameters", {}).values())
    parts = ", ".join(f"{n.removeprefix('model.')} {c / 1e6:.2f} M" for n, c in facts.get("parameters", {}).items())
    shown |= {"Parameters": f"{total / 1e6:.1f} M: {parts}"} if total else {}
    shown |= {f"SHA-256 of {name}": digest for name, digest in facts.get("weights", {}).items()}
    return shown | {str(k): str(v) for k, v in facts.get("environment", {}).items()}
