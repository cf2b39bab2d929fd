"""What a suite asks and how it is shown: the section ``suite`` of a file of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, NonNegativeInt, PositiveInt

from anyloom.config.compose import compose
from anyloom.errors import ConfigError, nearest
from anyloom.options import Section, validate

__all__ = [
    "ComparisonSettings",
    "HeadlineSettings",
    "QuotedRow",
    "Suite",
    "TableSettings",
    "is_part",
    "read_suite",
    "suite_of",
    "suites",
    "to_choose_by",
]

_KEY = "suite"


class HeadlineSettings(Section):
    """One number at the top of a report.

    Args:
        value: Name of a measured value, ``<metric>/<group>/<value>``.
        label: What it says, in a few words.

    >>> HeadlineSettings(value="words/all/right", label="right answers").label
    'right answers'
    """

    value: str
    label: str


class QuotedRow(Section):
    """A row of somebody else's table, shown beside one's own and marked as quoted.

    Args:
        values: Number by the column's heading, in the unit of the table's own numbers (0.5 for 50 %).
        source: Where it stands.
        count: Samples behind it, where that is known: a row of another number is remarked on.

    >>> QuotedRow(values={"right": 0.5}, source="Table 2 of their paper").count is None
    True
    """

    values: dict[str, float]
    source: str
    count: PositiveInt | None = None


class TableSettings(Section):
    """One table: rows are groups of samples, columns are values.

    Args:
        title: Heading.
        explanation: How to read it; by default what the metric says of the first column.
        rows: Group by the row's label; a label that begins with a space is a part of the row above.
        columns: Name of a value by the column's heading, with ``{}`` where the row's group goes, such as
            ``retrieval/{}/k1/hard_top1``. Rows and columns without any measured value are left out.
        quoted: Published rows by their label, shown below the measured ones.

    >>> TableSettings(title="Words", rows={"all": "all"}, columns={"right": "words/{}/right"}).columns
    {'right': 'words/{}/right'}
    """

    title: str
    explanation: str = ""
    rows: dict[str, str]
    columns: dict[str, str]
    quoted: dict[str, QuotedRow] = Field(default_factory=dict)


class ComparisonSettings(Section):
    """A sign test over queries that two groups have in common.

    Args:
        label: What would be shown, such as "one example helps".
        value: ``<metric>/<value>``, a value that every sample has.
        better: Group that is expected to be better.
        than: The other group.

    >>> ComparisonSettings(label="one example helps", value="words/right", better="one", than="none").better
    'one'
    """

    label: str
    value: str
    better: str
    than: str


class Suite(Section):
    """An evaluation suite.

    Args:
        title: Heading of the report.
        summary: What is asked, in plain words; empty lines separate paragraphs.
        data: Data section with the data sets.
        split: Split whose subjects were in no training data: what is reported. ``test/report`` is the half of ``test``
            that ``test/choose`` leaves.
        choose: Split to choose settings and checkpoints by, which is never reported; ``anyloom evaluate --choose``.
            ``test/choose`` is a half of ``test``, for data that have no other split: who has chosen by it reports
            ``suite.split=test/report``.
        queries: Samples per task and number of examples, at most.
        answers: Answers to each sample, each drawn anew.
        limits: Fewer for some tasks.
        metrics: Metric components by a key of the suite's choice.
        tables: What is printed and reported, in order.
        comparisons: Sign tests.
        headlines: Numbers at the top of the report.
        tasks: What each task asks, in plain words, for samples that are shown.
        controls: Samples per task that are also decoded from true features, as a row beside the headline; 0 for none.
        shown: Samples to show per task.
        shown_examples: Show samples whose number of examples is nearest to this.
        batch_size: Samples answered together.
        attributions: Lists of what, author, licence, source.

    >>> Suite(title="Mine", data={"datasets": {}}, metrics={}).split
    'test'
    """

    title: str
    summary: str = ""
    data: dict[str, Any]
    split: str = "test"
    choose: str = "val"
    queries: PositiveInt = 300
    answers: PositiveInt = 1
    limits: dict[str, PositiveInt] = Field(default_factory=dict)
    metrics: dict[str, dict[str, Any]]
    tables: tuple[TableSettings, ...] = ()
    comparisons: tuple[ComparisonSettings, ...] = ()
    headlines: tuple[HeadlineSettings, ...] = ()
    tasks: dict[str, str] = Field(default_factory=dict)
    controls: NonNegativeInt = 100
    shown: NonNegativeInt = 4
    shown_examples: NonNegativeInt = 1
    batch_size: PositiveInt = 64
    attributions: tuple[tuple[str, str, str, str], ...] = ()


def suites() -> list[str]:
    """Names of the recipes of all plugins that are suites."""
    from anyloom.discovery import get_registry

    return [name for name in get_registry().recipes if _section(name) is not None]


def _section(recipe: str) -> Any:
    try:
        return compose([recipe]).get("suite")
    except ConfigError:  # somebody else's recipe; whoever asks for it by name is told
        return None


def read_suite(name: str, overrides: Sequence[str] = ()) -> Suite:
    """Read a suite.

    Args:
        name: Name of a recipe or path of a YAML file with a section ``suite``.
        overrides: Dotted overrides such as ``suite.queries=20``.

    Raises:
        anyloom.errors.ConfigError: There is none of that name, or its section is wrong; names the YAML key.
    """
    sections = compose([name], overrides)
    if sections.get("suite") is None:
        if "suite" in sections.get("variables", {}):
            fix = "write suite: where variables: suite: stands, and indent it less"
            raise ConfigError("a suite is a section of its own", where="variables.suite", fix=fix)
        known = suites()
        fix = nearest(name, known) or f"suites: {', '.join(known) or 'none'}"
        raise ConfigError(f"the recipe {name!r} is no evaluation suite", where=_KEY, fix=fix)
    return suite_of(sections)


def to_choose_by(suite: Suite) -> Suite:
    """The same suite about other samples: those that settings and checkpoints are chosen by.

    Raises:
        anyloom.errors.ConfigError: It has no others.

    >>> to_choose_by(Suite(title="Mine", data={}, metrics={})).split
    'val'
    """
    if suite.choose == suite.split:
        what = f"the split {suite.split!r} is what is reported, so nothing can be chosen by it"
        raise ConfigError(what, where="suite.choose", fix="name another split of its data")
    return suite.model_copy(update={"split": suite.choose})


def is_part(suite: Suite) -> bool:
    """Whether what is chosen by is a part of what is reported, so that nothing may have been chosen by it."""
    return suite.choose.startswith(f"{suite.split}/")


def suite_of(sections: Mapping[str, Any]) -> Suite:
    """The suite of composed sections.

    Raises:
        anyloom.errors.ConfigError: Its section is wrong; names the YAML key.

    >>> try:
    ...     suite_of({"suite": {"title": "Mine", "data": {}, "metrics": {}, "querries": 3}})
    ... except ConfigError as error:
    ...     print(error)
    suite.querries: there is no option 'querries' here. To fix: did you mean 'queries'?
    """
    return validate(Suite, sections.get("suite") or {}, where=_KEY)
