"""Stories of three rounds: what is asked, in which order, and what the controls leave out."""

from __future__ import annotations

import pytest
import torch

from anyloom.conversation import Conversation
from anyloom.errors import ConfigError
from anyloom.interfaces import Sample
from anyloom_starter.pack import load_pack
from anyloom_starter.story import StoryBuilder

ROUNDS = ("story-show", "story-again", "story-hear")


def stories(split: str = "test", **options: object) -> list[dict[str, Sample]]:
    samples = StoryBuilder(StoryBuilder.Config(**{"num_stories": 6, **options})).build(split)
    return [{s.task: s for s in samples[n : n + 6]} for n in range(0, len(samples), 6)]


def keys(conversation: Conversation) -> list[str]:
    return [m.key for m in conversation.media]


@pytest.mark.parametrize(("split", "subjects"), [("test", "test"), ("val", "train")])
def test_subjects_come_in_the_order_of_their_names_and_of_their_split(split: str, subjects: str) -> None:
    told = stories(split)
    names = [story["story-show"].provenance["subjects"][0] for story in told]
    of_split = {p.subject for p in load_pack().pictures if p.split == subjects}
    assert names == sorted(names)
    assert set(names) <= of_split
    assert [min(names)] == names[:1]
    shown = {p.subject for p in load_pack().pictures if p.split == "train"}
    for story, name in zip(told, names):
        ((before, after),) = story["story-show"].provenance["examples"]
        assert {load_pack().picture(k.partition("@")[0]).subject for k in (before, after)} <= shown - {name}


def test_a_round_goes_on_from_the_answer_before_it() -> None:
    for story in stories():
        show, again, hear = (story[name].conversation for name in ROUNDS)
        assert list(again.messages[:2]) == list(show.messages)
        assert list(hear.messages[:4]) == list(again.messages)
        once, twice = (c.messages[-1].media[0].tensor() for c in (show, again))
        before = show.prompt().media[-1].tensor()
        assert not torch.equal(once, before)
        assert not torch.equal(twice, once)
        assert [s.provenance.get("own_history", False) for s in (story[n] for n in ROUNDS)] == [False, True, True]


def test_edits_are_what_their_names_say() -> None:
    """Upside down is half a turn: rows and columns from the last to the first; the mirror swaps the columns back."""
    (story,) = stories(num_stories=1, first=("geometry/upside-down",), second=("geometry/mirror",))
    before = story["story-show"].conversation.prompt().media[-1].tensor()
    once = story["story-show"].conversation.messages[-1].media[0].tensor()
    twice = story["story-again"].conversation.messages[-1].media[0].tensor()
    rows, columns = before.shape[-2:]
    upwards, leftwards = [*range(rows)][::-1], [*range(columns)][::-1]
    torch.testing.assert_close(once, before[..., upwards, :][..., leftwards])
    torch.testing.assert_close(twice, before[..., upwards, :])


def test_controls_ask_for_the_same_without_what_came_before() -> None:
    for story in stories():
        for name in ROUNDS:
            whole, alone = story[name], story[f"{name}-alone"]
            assert whole.provenance["target"] == alone.provenance["target"]
            assert whole.provenance["candidates"] == alone.provenance["candidates"]
            assert whole.provenance["target"][0] in alone.provenance["candidates"]
            assert len(alone.conversation.messages) == 2
            assert not alone.provenance.get("own_history")
        first = keys(story["story-show"].conversation.prompt())[-1]
        assert keys(story["story-show-alone"].conversation.prompt()) == [first]
        assert keys(story["story-again-alone"].conversation.prompt()) == [first]
        assert keys(story["story-hear-alone"].conversation.prompt()) == []


def test_sounds_are_those_that_training_has_heard_and_edits_take_turns() -> None:
    told = stories(num_stories=40)
    known = {f"sound/{s.key}" for s in load_pack().sounds if s.split == "train"}
    sounds = [story["story-hear"].provenance["target"][0] for story in told]
    assert len(set(sounds)) == len(sounds) == 40
    assert set(sounds) <= known == {*told[0]["story-hear"].provenance["candidates"]}
    done = [story["story-again"].provenance["operation"] for story in told]
    assert len(set(done)) == 6
    assert {done.count(each) for each in done} <= {6, 7}


def test_another_split_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"starter-story: there is no split 'train'.*val or test"):
        StoryBuilder(StoryBuilder.Config()).build("train")
