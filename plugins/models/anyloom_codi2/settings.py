"""What the demo wants to know beyond the stages: the section ``variables.demo`` of a recipe."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt

__all__ = ["DemoSettings", "HeadlineSettings"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HeadlineSettings(_Section):
    """One number at the top of the report.

    Args:
        value: Name of a measured value, ``<metric>/<group>/<value>``.
        label: What it says, in a few words.
    """

    value: str
    label: str


class DemoSettings(_Section):
    """How the demo presents a recipe.

    Args:
        title: Heading of the report.
        summary: What was done, in plain words; empty lines separate paragraphs.
        stages: What each stage trains, in plain words.
        tasks: What each task asks, in plain words, for the samples that are shown.
        headlines: Numbers at the top, in order of importance. Values that were not measured are left out.
        tables: Values that get an open table, ``<metric>/<value>``, in this order; the others are folded away. All
            are open if none is named.
        metrics: Metric components by a key of the recipe's choice.
        data: Data section of the evaluation; the last stage's where it is empty.
        split: Split whose subjects were in no training data.
        measured: Samples to measure per task and number of examples, at most.
        shown: Samples to show per task.
        shown_examples: Show samples whose number of examples is nearest to this.
        batch_size: Samples per batch in evaluation.
        evaluation_seconds: Expected time for measuring and showing, for the plan.
        attributions: Lists of what, author, licence, source.
        quick: Overrides of a smoke run, beside those it has anyway.
    """

    title: str = "A small any-to-any model, trained from scratch"
    summary: str = ""
    stages: dict[str, str] = Field(default_factory=dict)
    tasks: dict[str, str] = Field(default_factory=dict)
    headlines: tuple[HeadlineSettings, ...] = ()
    tables: tuple[str, ...] = ()
    metrics: dict[str, dict[str, Any]] = Field(default_factory=dict)
    data: dict[str, Any] = Field(default_factory=dict)
    split: str = "test"
    measured: PositiveInt = 60
    shown: PositiveInt = 4
    shown_examples: PositiveInt = 2
    batch_size: PositiveInt = 64
    evaluation_seconds: NonNegativeFloat = 90
    attributions: tuple[tuple[str, str, str, str], ...] = ()
    quick: tuple[str, ...] = ()
