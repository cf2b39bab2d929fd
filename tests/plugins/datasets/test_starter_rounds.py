"""Rounds, rephrased instructions and small talk: what is asked, what must come, and what training never shows."""

from __future__ import annotations

import random

import pytest
import torch

from anyloom.conversation import Conversation
from anyloom.interfaces import Sample
from anyloom_starter.builder import StarterBuilder
from anyloom_starter.edits import PIXEL_EDITS, phrasings
from anyloom_starter.pack import load_pack
from anyloom_starter.talk import TALK
from anyloom_starter.wording import FRAMES, NEW_FRAMES, ask, is_held_out, rephrased


def samples(split: str = "train", count: int = 400, **options: object) -> list[Sample]:
    builder = StarterBuilder(StarterBuilder.Config(**{"num_queries": 20, **options}))
    built = builder.build(split)
    return [built[i] for i in range(min(count, len(built)))]


def words(conversation: Conversation) -> list[str]:
    return ["".join(getattr(s, "text", "") for s in m.segments) for m in conversation.messages if m.role == "user"]


def pixels(media: object) -> torch.Tensor:
    return media.tensor()  # type: ignore[attr-defined]


def test_each_round_is_about_the_answer_before_it() -> None:
    for sample in samples(tasks={"rounds": 1}):
        media = [m for m in sample.conversation.messages if m.media]
        keys = tuple(m.media[0].key for m in media)
        path = sample.provenance["path"]
        if sample.provenance["family"] == "back":
            assert keys[-1] == path[-2] == sample.provenance["target"][0]
            assert keys[:-1] == path
        else:
            assert keys == path
        # only the first question shows a picture; every later one stands on the answer before
        assert [bool(m.media) for m in sample.conversation.messages if m.role == "user"].count(True) == 1


def test_the_second_answer_is_the_edit_of_the_first_in_pixels() -> None:
    pixel = [s for s in samples(tasks={"rounds": 1}) if s.provenance["family"] == "edit"]
    checked = 0
    for sample in pixel:
        last = sample.provenance["operation"].split("+")[-1]
        if last not in PIXEL_EDITS:
            continue
        pictures = [m.media[0] for m in sample.conversation.messages if m.media]
        assert torch.equal(pixels(pictures[-1]), PIXEL_EDITS[last].apply(pixels(pictures[-2])))
        assert not torch.equal(pixels(pictures[-1]), pixels(pictures[-2]))
        checked += 1
    assert checked > 50


def test_a_question_after_an_edit_is_answered_about_the_edited_picture() -> None:
    asked = [s for s in samples(tasks={"rounds": 1}) if s.provenance["family"] == "ask"]
    assert asked
    for sample in asked:
        shown = load_pack().picture(sample.provenance["path"][-1].split("@")[0])
        answer = sample.conversation.messages[-1].segments[0].text
        assert shown.name in answer
        assert answer.endswith(f"{shown.style} style")


def test_held_out_rounds_are_about_held_out_subjects_and_hold_their_near_misses() -> None:
    trained = {p.subject for p in load_pack().pictures if p.split == "train"}
    found = samples("test", tasks={"rounds": 1}, families={"colour": 1, "geometry": 1, "tone": 1})
    assert {s.provenance["family"] for s in found} == {"edit", "back", "ask"}
    for sample in found:
        assert not trained & set(sample.provenance["subjects"])
        if sample.provenance["family"] != "ask":
            assert {*sample.provenance["path"], *sample.provenance["target"]} <= set(sample.provenance["candidates"])


def test_rephrased_instructions_are_never_trained() -> None:
    rng = random.Random(1)
    operations = [*PIXEL_EDITS, "tone/none/dark", "style/noto/twemoji", "gender/man/woman"]
    trained = {ask(rng, name) for _ in range(3000) for name in operations}
    new = {rephrased(rng, name) for _ in range(300) for name in operations}
    assert not trained & new
    assert any(text.startswith("Could you please") for text in new)
    assert len(trained) > 2 * sum(len(phrasings(name)) for name in operations)


@pytest.mark.parametrize("name", [*PIXEL_EDITS])
def test_every_phrasing_has_a_trained_frame_and_a_new_one(name: str) -> None:
    for phrasing in phrasings(name):
        assert not is_held_out(phrasing, FRAMES[0])
        assert set(NEW_FRAMES).isdisjoint(FRAMES)


def test_varied_wording_reaches_training_only_where_it_is_asked_for() -> None:
    operations = list(PIXEL_EDITS)
    plain = {w for s in samples(tasks={"edit": 1}) for w in words(s.conversation)}
    varied = samples(tasks={"edit": 1}, wording="varied")
    known = {f"{p[0].upper()}{p[1:]}." for name in operations for p in phrasings(name)}
    assert any(w in known for w in plain)
    assert not any(w.startswith(("Can you", "Please")) for w in plain)
    assert any(w.startswith("Can you") for s in varied for w in words(s.conversation))
    first = [s.conversation.messages[0].segments[0] for s in varied]
    assert 0.1 < sum(hasattr(f, "text") for f in first) / len(first) < 0.4


def test_small_talk_is_answered_in_words_and_its_last_way_is_held_out() -> None:
    trained = {w for s in samples(tasks={"talk": 1}, count=2000) for w in words(s.conversation)}
    asked = {w for s in samples("test", tasks={"talk": 1}) for w in words(s.conversation)}
    assert asked <= {ways[-1] for ways in TALK.values()}
    assert not trained & asked
    assert not any(s.conversation.media for s in samples(tasks={"talk": 1}))


def test_a_wish_is_answered_by_what_it_names() -> None:
    found = samples(tasks={"wish": 1})
    kinds = {s.provenance["family"] for s in found}
    assert kinds == {"image", "audio"}
    for sample in found:
        assert sample.conversation.messages[-1].media[0].modality == sample.provenance["family"]
