"""Rounds, rephrased instructions and small talk: what is asked, what must come, and what training never shows."""

from __future__ import annotations

import random

import pytest
import torch

from anyloom.conversation import Conversation
from anyloom.errors import ConfigError
from anyloom.interfaces import Sample
from anyloom_starter.builder import FAMILIES, StarterBuilder
from anyloom_starter.edits import PIXEL_EDITS, phrasings
from anyloom_starter.pack import load_pack
from anyloom_starter.rounds import KINDS
from anyloom_starter.sayings import CHOOSE, TALK, normal, trained_sentences
from anyloom_starter.talk import PICTURES, SOUNDS
from anyloom_starter.wording import CHOOSE_FRAMES, FRAMES, NEW_FRAMES, ask, is_held_out, rephrased


def samples(split: str = "train", count: int = 400, **options: object) -> list[Sample]:
    builder = StarterBuilder(StarterBuilder.Config(**{"num_queries": 20, **options}))
    built = builder.build(split)
    return [built[i] for i in range(min(count, len(built)))]


def words(conversation: Conversation) -> list[str]:
    return ["".join(getattr(s, "text", "") for s in m.segments) for m in conversation.messages if m.role == "user"]


def said(sample: Sample) -> list[list[str | None]]:
    """Texts and keys of media, by message."""
    return [[getattr(s, "text", None) or s.key for s in m.segments] for m in sample.conversation.messages]


def pixels(media: object) -> torch.Tensor:
    return media.tensor()  # type: ignore[attr-defined]


def test_each_round_is_about_the_answer_before_it() -> None:
    for sample in samples(tasks={"rounds": 1}):
        media = [m for m in sample.conversation.messages if m.media]
        keys = tuple(m.media[0].key for m in media)
        path = sample.provenance["path"]
        if sample.provenance["family"] == "again":
            assert keys == path
            continue
        if sample.provenance["family"] == "hear":
            assert keys == (*path, *sample.provenance["target"])
        elif sample.provenance["family"] == "back":
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


def test_a_sound_after_edits_is_one_of_what_is_drawn() -> None:
    of_picture = {(picture.key, f"sound/{sound.key}") for sound, picture in load_pack().links}
    found = [s for s in samples(tasks={"rounds": 1}) if s.provenance["family"] == "hear"]
    assert len(found) > 20
    for sample in found:
        drawing, *edits = sample.provenance["path"][-1].split("@")
        assert edits
        assert (drawing, *sample.provenance["target"]) in of_picture


def test_the_same_again_is_the_same_edit_of_another_subject() -> None:
    found = [s for s in samples(tasks={"rounds": 1}) if s.provenance["family"] == "again"]
    assert {s.provenance["operation"].split("/")[0] for s in found} == set(FAMILIES)
    for sample in found:
        first, second = sample.provenance["subjects"]
        assert first != second
        operation = sample.provenance["operation"]
        if operation in PIXEL_EDITS:
            for source, target in zip(sample.conversation.media[::2], sample.conversation.media[1::2]):
                assert torch.equal(PIXEL_EDITS[operation].apply(source.tensor()), target.tensor())


def test_rounds_of_the_test_are_those_of_before_there_were_more_kinds() -> None:
    found = samples("test", tasks={"rounds": 1}, num_queries=1)
    assert [s.provenance["path"] for s in found[:3]] == [
        tuple(f"twemoji/1f9d6-200d-2642-fe0f{state}" for state in ("", "-1f3fe", "-1f3fe@grey")),
        tuple(f"noto/1f1fc-1f1eb{state}" for state in ("", "@turn-left")),
        tuple(f"noto/1f469-200d-1f9bc-200d-27a1-fe0f-1f3ff{state}" for state in ("", "@turn-left")),
    ]


def test_held_out_rounds_are_about_held_out_subjects_and_hold_their_near_misses() -> None:
    trained = {p.subject for p in load_pack().pictures if p.split == "train"}
    found = samples("test", tasks={"rounds": 1}, families={"colour": 1, "geometry": 1, "tone": 1})
    assert {s.provenance["family"] for s in found} == set(KINDS)
    for sample in found:
        assert not trained & set(sample.provenance["subjects"])
        if sample.provenance["family"] == "hear":
            assert len(sample.provenance["candidates"]) == len(load_pack().sounds)
        elif sample.provenance["family"] != "ask":
            assert {*sample.provenance["path"], *sample.provenance["target"]} <= set(sample.provenance["candidates"])


def test_rephrased_instructions_are_never_trained() -> None:
    rng = random.Random(1)
    operations = [*PIXEL_EDITS, "tone/none/dark", "style/noto/twemoji", "gender/man/woman"]
    trained = {ask(rng, name) for _ in range(3000) for name in operations}
    new = {rephrased(rng, name) for _ in range(300) for name in operations}
    choose = {rephrased(rng, name, choose=True) for _ in range(50) for name in operations}
    assert not trained & new
    assert not choose & (trained | new)
    assert any(text.startswith("Could you please") for text in new)
    assert len(trained) > 2 * sum(len(phrasings(name)) for name in operations)


@pytest.mark.parametrize("name", [*PIXEL_EDITS])
def test_every_phrasing_has_a_trained_frame_and_a_new_one(name: str) -> None:
    for phrasing in phrasings(name):
        assert not is_held_out(phrasing, FRAMES[0])
        assert len({*FRAMES, *NEW_FRAMES, *CHOOSE_FRAMES}) == len(FRAMES) + len(NEW_FRAMES) + len(CHOOSE_FRAMES)


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


def test_each_split_has_small_talk_of_its_own() -> None:
    trained = {normal(w) for s in samples(tasks={"talk": 1}, count=4000) for w in words(s.conversation)}
    choose, test = (
        {w for s in samples(split, tasks={"talk": 1}, num_queries=90) for w in words(s.conversation)}
        for split in ("choose", "test")
    )
    assert test == {ways[-1] for ways in TALK.values()}
    assert choose == {said for ways in CHOOSE.values() for said in ways}
    assert trained.isdisjoint(map(normal, (*choose, *test)))
    assert len(trained) > 1000
    assert not any(s.conversation.media for s in samples(tasks={"talk": 1}))


def test_no_sentence_of_training_contains_a_held_out_one_or_has_two_answers() -> None:
    held_out = [normal(said) for answer in TALK for said in (TALK[answer][-1], *CHOOSE[answer])]
    answers: dict[str, str] = {}
    for answer in TALK:
        found = [normal(said) for group in trained_sentences(answer) for said in group]
        assert len(found) >= 30
        for said in found:
            assert said not in held_out
            assert not any(other in said for other in held_out if len(other.split()) > 1)
            assert answers.setdefault(said, answer) == answer


@pytest.mark.parametrize("frames", [PICTURES, SOUNDS])
def test_no_frame_of_wishes_is_of_two_splits(frames: dict[str, tuple[str, ...]]) -> None:
    listed = [normal(frame) for split in frames for frame in frames[split]]
    assert set(frames) == {"train", "choose", "test"}
    assert len(set(listed)) == len(listed)


def test_a_wish_is_answered_by_what_it_names() -> None:
    found = samples(tasks={"wish": 1})
    kinds = {s.provenance["family"] for s in found}
    assert kinds == {"image", "audio"}
    for sample in found:
        assert sample.conversation.messages[-1].media[0].modality == sample.provenance["family"]


def test_parts_of_a_chain_are_whole_samples_and_the_last_is_asked_about() -> None:
    found = samples(tasks={"chained": 1}, count=600)
    assert {len(s.provenance["parts"]) for s in found} == {2, 3}
    first = {s.provenance["parts"][0] for s in found}
    assert {"rounds", "edit", "wish", "sound-add"} <= first
    for sample in found:
        messages = sample.conversation.messages
        assert [m.role for m in messages] == ["user", "assistant"] * (len(messages) // 2)
        assert sample.provenance["target"] == tuple(m.key for m in messages[-1].media)
        assert sample.provenance["family"] == sample.provenance["parts"][-1]
        assert "Which picture" not in messages[-1].text


@pytest.mark.parametrize("split", ["choose", "test"])
def test_chains_of_the_fixed_splits_end_in_the_queries_of_other_tasks(split: str) -> None:
    tasks = ("chained", "text-to-sound", "sound-to-text", "sound-add", "sound-effect", "picture-to-text")
    found = samples(split, tasks=dict.fromkeys(tasks, 1), num_queries=8, count=1000)
    alone = {(s.task, s.provenance["query"]): s for s in found}
    compared = 0
    for sample in (s for s in found if s.task == "chained"):
        same = alone.get((sample.provenance["family"], sample.provenance["query"]))
        modality = "audio" if "picture" in sample.provenance["family"] else "image"
        assert {m.modality for m in sample.conversation.messages[0].media} <= {modality}
        if same:
            assert said(sample)[-2:] == said(same)
            assert sample.provenance["candidates"] == same.provenance["candidates"]
            compared += 1
    assert compared >= 8 * 2 + 2


def test_words_to_choose_by_are_about_training_subjects() -> None:
    tasks = dict.fromkeys(("wish", "edit-rephrased", "sequence", "rounds"), 1)
    trained = {p.subject for p in load_pack().pictures if p.split == "train"}
    trained |= {s.stem for s in load_pack().sounds if s.split == "train"}
    found = samples("choose", tasks=tasks, num_queries=8)
    assert {s.task for s in found} == set(tasks)
    assert all(trained.issuperset(s.provenance["subjects"]) for s in found)


def test_rounds_without_an_edit_of_pixels_are_refused() -> None:
    with pytest.raises(ConfigError, match="chained needs geometry or colour"):
        StarterBuilder.from_options({"tasks": {"chained": 1}, "families": {"tone": 1}})
