"""The demo's story: every number beside its control, one story shown whole, told by a model that ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from anyloom.building import build_named
from anyloom.config.packages import shipped_weights
from anyloom.data.module import AnyToAnyData
from anyloom_mini.demo import story as stories
from anyloom_mini.demo.plans import make_plan
from anyloom_mini.demo.settings import StorySettings
from anyloom_mini.demo.story import Story, headlines_of_story, measure_of_story, samples_of_story, tell


def settings() -> StorySettings:
    found = make_plan("lesson", [], Path("runs/none")).settings.story
    assert found is not None
    return found


def test_what_it_shows_fits_what_is_asked_and_names_its_model() -> None:
    story = settings()
    assert story.model == shipped_weights("mini-plain")
    assert "mini-plain" in story.title
    metrics = {k: build_named("metric", v, where=k) for k, v in story.metrics.items()}
    samples = AnyToAnyData(story.data).samples("test")
    asked = {samples[n].task for n in range(len(samples))}
    rounds = [name.split("/") for name in story.rounds]
    assert asked == {task + end for _, task, _ in rounds for end in ("", stories.CONTROL)}
    assert all(value in metrics[metric].measures for metric, _, value in rounds)


def test_numbers_stand_beside_their_controls_with_intervals() -> None:
    """Wilson's 95 % interval of 30 of 40 is 59.8 to 85.8 %, of none of 40 is 0 to 8.8 % (Wilson 1927)."""
    values = {
        "edit/story-show/hard_top1": 0.75,
        "edit/story-show-alone/hard_top1": 0.0,
        "edit/story-show/count": 40.0,
        "edit/story-again/hard_top1": 0.5,  # whose control was not measured
    }
    story = Story(settings(), values)
    (table,) = measure_of_story(story)
    (row,) = table.rows
    assert (list(row.values), row.count) == ([0.75, 0.0], 40)
    whole, alone = row.intervals
    assert whole == pytest.approx((0.598, 0.858), abs=1e-3)
    assert alone == pytest.approx((0.0, 0.088), abs=1e-3)
    (headline,) = headlines_of_story(story)
    assert headline.value == "75.0 %"
    assert headline.note == "the control 0.0 % (N = 40, 95 % interval 60 to 86 %)"
    assert measure_of_story(Story(settings())) == samples_of_story(Story(settings())) == []


def test_the_shipped_model_tells_two_stories() -> None:
    data = {"datasets": {"story": {"name": "starter-story", "num_stories": 2}}}
    told = tell(settings().model_copy(update={"data": data}), "test", 0, lambda doing, share: None)
    (table,) = measure_of_story(told)
    assert [row.count for row in table.rows] == [2, 2, 2]
    (group,) = samples_of_story(told)
    assert [bool(row.note) for row in group.rows] == [False, True] * 3
    made = [row.output.media[0] for row in group.rows if row.output is not None]
    assert [m.modality for m in made] == ["image"] * 4 + ["audio"] * 2
    assert all(m.has_data for m in made)
    show, _, again, _, hear, _ = (row.prompt.messages for row in group.rows)
    assert again[1].media[0].tensor().equal(made[0].tensor()), "the second round is about the answer that is shown"
    assert hear[3].media[0].tensor().equal(made[2].tensor())
    assert len(show) == 1
