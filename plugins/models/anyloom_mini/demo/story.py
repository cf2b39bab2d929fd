"""Tells a story with a trained model: rounds of one conversation, each beside the same question alone.

The data set of a story calls its tasks in pairs, ``NAME`` and ``NAME-alone``: the second is the control. Shown is the
first story, whatever came out; measured are all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from anyloom import AnyToAnyModel
from anyloom.building import build_named
from anyloom.conversation import Conversation
from anyloom.data.module import AnyToAnyData
from anyloom.evaluation.intervals import interval_of_share
from anyloom.evaluation.measure import answer_samples, measure
from anyloom.evaluation.page import sample_row
from anyloom.evaluation.results import count_name
from anyloom.interfaces import Evaluated, Sample
from anyloom.report import Headline, Measure, MeasuredRow, SampleGroup, SampleRow
from anyloom_mini.demo.settings import StorySettings

__all__ = ["Story", "headlines_of_story", "measure_of_story", "samples_of_story", "tell"]

CONTROL: Final = "-alone"
_CONTROL_NOTE: Final = "The control: the same question without what came before it."


@dataclass
class Story:
    """What came out.

    Args:
        settings: What was asked for.
        values: Measured values by name, those of controls among them.
        told: The rounds of the first story, each followed by its control, decoded.
    """

    settings: StorySettings
    values: dict[str, float] = field(default_factory=dict)
    told: list[Evaluated] = field(default_factory=list)


def tell(settings: StorySettings, split: str, seed: int, advance: Callable[[str, float], None]) -> Story:
    """Answer every story and measure it; decode the first.

    Args:
        settings: The story's model, data and metrics.
        split: Split whose subjects were in no training data.
        seed: Of the answers. The stories themselves depend on no chance.
        advance: Told what is being done and which share of it is over.
    """
    model = AnyToAnyModel.from_pretrained(settings.model, trust=True).eval()  # named by the user's own recipe
    samples = [*_all(AnyToAnyData(settings.data), split)]
    metrics = {
        k: build_named("metric", v, where=f"variables.demo.story.metrics.{k}") for k, v in settings.metrics.items()
    }
    by_task = sorted(samples, key=lambda sample: sample.task)
    doing = "measuring: the story"
    values = measure(model, by_task, metrics, seed=seed, advance=lambda share: advance(doing, share))
    first = [s for s in samples if s.provenance["query"] == samples[0].provenance["query"]]
    return Story(settings, values, answer_samples(model, first, seed=seed, decode=True))


def _all(data: AnyToAnyData, split: str) -> Sequence[Sample]:
    found = data.samples(split)
    return [found[n] for n in range(len(found))]


def samples_of_story(story: Story) -> list[SampleGroup]:
    """The rounds of the first story as one group, each followed by its control.

    The last round's conversation holds the answers of those before it: shown is this one conversation.
    """
    if not story.told:
        return []
    controls = {one.sample.task.removesuffix(CONTROL): one for one in story.told if one.sample.task.endswith(CONTROL)}
    rounds = [one for one in story.told if one.sample.task in controls]
    said = [*rounds[-1].sample.conversation.prompt().messages, rounds[-1].answer]
    answers = [n for n, message in enumerate(said) if message.role == "assistant"]
    rows = []
    for one, place in zip(rounds, answers):
        rows.append(SampleRow(Conversation(said[:place]), one.sample.conversation.messages[-1], said[place]))
        rows.append(replace(sample_row(controls[one.sample.task]), note=_CONTROL_NOTE))
    return [SampleGroup(story.settings.title, story.settings.explanation, rows)]


def measure_of_story(story: Story) -> list[Measure]:
    """One table, a row per round: how often it is right, and how often its control is."""
    rows = []
    for name, label in story.settings.rounds.items():
        pair = _pair(story, name)
        if pair is not None:
            *shares, count = pair
            rows.append(MeasuredRow(label, shares, count, intervals=[interval_of_share(s, count) for s in shares]))
    if not rows:
        return []
    settings = story.settings
    return [Measure(settings.title, settings.explanation, ["in the story", "the control"], rows)]


def headlines_of_story(story: Story) -> list[Headline]:
    """The same numbers as headlines, each with its control."""
    shown = []
    for name, label in story.settings.rounds.items():
        pair = _pair(story, name)
        if pair is not None:
            share, control, count = pair
            low, high = interval_of_share(share, count)
            note = (
                f"the control {100 * control:.1f} % (N = {count}, 95 % interval {100 * low:.0f} to {100 * high:.0f} %)"
            )
            shown.append(Headline(f"{100 * share:.1f} %", label, note))
    return shown


def _pair(story: Story, name: str) -> tuple[float, float, int] | None:
    """Share of a value ``metric/task/value``, that of its control, and how many; None where either was not measured."""
    metric, task, value = name.split("/")
    share, control = (story.values.get(f"{metric}/{t}/{value}") for t in (task, task + CONTROL))
    if share is None or control is None:
        return None
    return share, control, round(story.values[count_name(name)])
