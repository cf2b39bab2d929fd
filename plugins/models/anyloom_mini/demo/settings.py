"""What the demo wants to know beyond the stages: the section ``variables.demo`` of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeFloat, PositiveInt

from anyloom.evaluation.suite import HeadlineSettings
from anyloom.options import Section

__all__ = ["DemoSettings", "LessonSettings", "StorySettings"]

_COLUMNS_NOTE = (
    "Trained: the model of this run. Untrained: the same model, encoders and decoders included, before its language "
    "model and projectors were trained. Copying the input: an answer that changes nothing. Vector arithmetic: the "
    "input's feature plus the mean difference that the examples show, without any language model. All answer the same "
    "N questions; the best value of a row is green."
)


class LessonSettings(Section):
    """Something new that the demo teaches a trained model; it is measured before and after.

    Args:
        title: Heading of the samples.
        explanation: What the task asks, in plain words.
        data: Data section of its queries.
        metrics: Metric components by a key of the recipe's choice, other than those of the demo.
        task: Task of the samples to show.
    """

    title: str
    explanation: str = ""
    data: dict[str, Any]
    metrics: dict[str, dict[str, Any]]
    task: str


class StorySettings(Section):
    """Rounds of one conversation, each measured beside the same question without what came before it.

    Args:
        title: Heading of the samples; names the model.
        explanation: What is asked and how it was chosen, in plain words.
        model: Folder of the saved model that answers.
        data: Data section of the stories: tasks in pairs, ``NAME`` and the control ``NAME-alone``.
        metrics: Metric components by a key of the recipe's choice.
        rounds: Values ``<metric>/<task>/<value>`` and what a right answer is there, in the order of the rounds.
    """

    title: str
    explanation: str = ""
    model: Path
    data: dict[str, Any]
    metrics: dict[str, dict[str, Any]]
    rounds: dict[str, str]


class DemoSettings(Section):
    """How the demo presents a recipe.

    Args:
        title: Heading of the report.
        summary: What was done, in plain words; empty lines separate paragraphs.
        stages: What each stage trains, in plain words.
        tasks: What each task asks, in plain words, for the samples that are shown.
        headlines: Numbers at the top, in order of importance. Values that were not measured are left out.
        tables: Values that get an open table, ``<metric>/<value>``, in this order; the others are folded away. All
            are open if none is named.
        columns: What the model is called after the run, and what it is compared with: the saved model that the run
            began with, or the same model with a random language model.
        columns_note: A paragraph that explains the columns.
        metrics: Metric components by a key of the recipe's choice.
        lesson: Something new that is taught, if the run begins with a trained model.
        story: Rounds of one conversation, told by a model that ships, if there are any.
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
    columns: tuple[str, str] = ("trained", "untrained")
    columns_note: str = _COLUMNS_NOTE
    metrics: dict[str, dict[str, Any]] = Field(default_factory=dict)
    lesson: LessonSettings | None = None
    story: StorySettings | None = None
    data: dict[str, Any] = Field(default_factory=dict)
    split: str = "test"
    measured: PositiveInt = 60
    shown: PositiveInt = 4
    shown_examples: PositiveInt = 2
    batch_size: PositiveInt = 64
    evaluation_seconds: NonNegativeFloat = 90
    attributions: tuple[tuple[str, str, str, str], ...] = ()
    quick: tuple[str, ...] = ()
