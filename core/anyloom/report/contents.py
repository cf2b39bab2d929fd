"""What a report says: frozen records, filled by whoever ran something, turned into HTML by the other modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from anyloom.conversation.segments import Conversation, Message

__all__ = [
    "Attribution",
    "Curve",
    "Headline",
    "Measure",
    "MeasuredRow",
    "Points",
    "Report",
    "SampleGroup",
    "SampleRow",
    "StageRow",
]

Points = Sequence[tuple[float, float]]
"""A curve as (x, y) pairs in order of x."""


@dataclass(frozen=True)
class Headline:
    """One number at the top of the page.

    Args:
        value: The number as it is shown, with its unit.
        label: What it is, in a few words.
        note: What to compare it with.

    >>> Headline("51.0 %", "right answers", note="chance: 25 %").value
    '51.0 %'
    """

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class MeasuredRow:
    """One row of a table of measured values.

    Args:
        label: What was measured.
        values: One per column of the table; None where a column has nothing to say.
        count: How many samples the values are taken over; 0 where that is not known.
        part: Whether the row is a part of one above it.
        intervals: Ends of the values' 95 % intervals, None where one is not known; empty if none is.

    >>> MeasuredRow("all", [0.5, None], count=20).part
    False
    """

    label: str
    values: Sequence[float | None]
    count: int
    part: bool = False
    intervals: Sequence[tuple[float, float] | None] = ()


@dataclass(frozen=True)
class Measure:
    """One measure with its table.

    Args:
        title: Name of the measure, in plain words.
        explanation: How it is taken and how to read it, one or two sentences.
        columns: Headings of the values, such as trained and untrained.
        rows: The values.
        better: Which direction is better; the best value of a row is marked.
        form: ``percent`` shows 0.5 as 50.0 %, ``number`` as it is.
        folded: Shown only when the reader unfolds further measures.
        comparable: Whether the columns measure the same thing, so that the best of a row says something.
        remarks: What forbids reading values as they stand.

    >>> Measure("Words", "Share of right words.", ["right"], [MeasuredRow("all", [0.5], 20)]).form
    'percent'
    """

    title: str
    explanation: str
    columns: Sequence[str]
    rows: Sequence[MeasuredRow]
    better: Literal["higher", "lower"] = "higher"
    form: Literal["percent", "number"] = "percent"
    folded: bool = False
    comparable: bool = True
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class SampleRow:
    """What was asked, what was wanted and what came out.

    Args:
        prompt: The conversation up to the question.
        target: The answer that the data set holds.
        output: The answer that the model gave; None where none was asked.
        note: A remark under the row.
        reading: The sequence that the model reads, in words.

    >>> row = SampleRow(Conversation([Message("user", "hello")]), Message("assistant", "yes?"), output=None)
    >>> SampleGroup("Chat", "A greeting is answered.", [row]).title
    'Chat'
    """

    prompt: Conversation
    target: Message
    output: Message | None
    note: str = ""
    reading: str = ""


@dataclass(frozen=True)
class SampleGroup:
    """Samples of one task under a heading.

    >>> SampleGroup("Chat", "A greeting is answered.", []).rows
    []
    """

    title: str
    explanation: str
    rows: Sequence[SampleRow]


@dataclass(frozen=True)
class Curve:
    """One plot.

    Args:
        title: Heading.
        series: Points by the name shown in the legend.
        x_label: Name of the horizontal axis.
        y_label: Name of the vertical axis.
        explanation: A sentence under the heading.

    >>> Curve("Loss", {"train": [(0, 2.5), (10, 1.5)]}).x_label
    'optimizer step'
    """

    title: str
    series: Mapping[str, Points]
    x_label: str = "optimizer step"
    y_label: str = "loss"
    explanation: str = ""


@dataclass(frozen=True)
class StageRow:
    """What one stage of training cost.

    Args:
        name: Name of the stage.
        summary: What it trains, in plain words.
        seconds: Wall time.
        steps: Optimizer steps.
        samples_per_second: Training samples per second, None if unknown.
        memory: Largest resident memory in bytes, None if unknown.
        parameters: Parameters that were trained.

    >>> StageRow("encoders", "What media look like", seconds=60.0, steps=100).memory is None
    True
    """

    name: str
    summary: str
    seconds: float
    steps: int
    samples_per_second: float | None = None
    memory: int | None = None
    parameters: int | None = None


@dataclass(frozen=True)
class Attribution:
    """Somebody else's work that the run used: what, by whom, under which licence, where from.

    >>> Attribution("A song", "Somebody", "CC BY 4.0").source
    ''
    """

    what: str
    author: str
    licence: str
    source: str = ""


@dataclass(frozen=True)
class Report:
    """Everything on the page.

    Args:
        title: Heading of the page.
        summary: A paragraph in plain words; further paragraphs after empty lines.
        headlines: The few numbers that matter most.
        measures: Tables of measured values.
        measures_note: A paragraph before them: what their columns mean.
        samples: Samples by task.
        samples_title: Heading above them.
        curves: Plots.
        stages: What training cost, stage by stage.
        environment: Facts about the machine and the libraries, by name.
        config: The configuration as text, shown folded.
        attributions: Whose work was used.
        warning: Shown in a box at the top, for instance that the numbers of a smoke run mean nothing.

    >>> Report("Mine", "What was measured.", headlines=[Headline("51.0 %", "right answers")]).samples_title
    'What the model answers'
    """

    title: str
    summary: str
    headlines: Sequence[Headline] = ()
    measures: Sequence[Measure] = ()
    measures_note: str = ""
    samples: Sequence[SampleGroup] = ()
    samples_title: str = "What the model answers"
    curves: Sequence[Curve] = ()
    stages: Sequence[StageRow] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    attributions: Sequence[Attribution] = ()
    warning: str = ""
