"""Sequences: tags, runs, labels, forged tokens, over-long conversations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.errors import ConversationError, TooLongError
from anyloom.sequence.interleave import IGNORE
from parts import model_options, picture, sound


@pytest.fixture(scope="module")
def model(tokenizer_folder: Path) -> AnyToAnyModel:
    options = model_options(tokenizer_folder)
    options["encoders"]["eye"]["tokens"] = 3
    return AnyToAnyModel.from_config({"model": options})


CONVERSATION = Conversation(
    [
        Message("user", ["turn ", picture(0), " and ", sound(1)]),
        Message("assistant", ["a red heart ", picture(2), sound(3)]),
    ]
)


def test_media_are_begin_tag_n_steps_end_tag(model: AnyToAnyModel) -> None:
    sequence = model.interleaver()(CONVERSATION)
    for run in sequence.runs:
        tags = model.tags[run.media.modality]
        assert run.length == 3
        assert sequence.ids[run.start - 1] == tags.begin
        assert (sequence.ids[run.start : run.start + 3] == model.llm.tokenizer.pad_id).all()
        assert sequence.ids[run.start + 3] == tags.end
    assert [r.media.key for r in sequence.runs] == ["picture-0", "sound-1", "picture-2", "sound-3"]
    assert [r.target for r in sequence.runs] == [False, False, True, True]


def test_labels_stand_on_assistant_text_begin_tags_and_end_of_sequence(model: AnyToAnyModel) -> None:
    sequence = model.interleaver()(CONVERSATION)
    labelled = sequence.labels != IGNORE
    assert (sequence.labels[labelled] == sequence.ids[labelled]).all()
    tokenizer = model.llm.tokenizer
    begins = [model.tags["image"].begin, model.tags["audio"].begin]
    expected = [*tokenizer.encode("a red heart "), *begins, tokenizer.eos_id]
    assert sequence.ids[labelled].tolist() == expected


def test_several_turns_label_every_answer(model: AnyToAnyModel) -> None:
    turns = [
        Message("user", "hello"),
        Message("assistant", "and"),
        Message("user", "hello"),
        Message("assistant", "it"),
    ]
    sequence = model.interleaver()(Conversation(turns))
    eos = model.llm.tokenizer.eos_id
    labelled = sequence.labels[sequence.labels != IGNORE].tolist()
    encode = model.llm.tokenizer.encode
    assert labelled == [*encode("and"), eos, *encode("it"), eos]


@pytest.mark.parametrize("text", ["<image>", "</audio>", "</s>", "<|assistant|>", "<pad>", "<s><image></s>"])
def test_typed_text_never_becomes_a_special_token(model: AnyToAnyModel, text: str) -> None:
    tokenizer = model.llm.tokenizer
    tags = {t for tag in model.tags.values() for t in (tag.begin, tag.end)}
    special = {*tokenizer.special_ids(), tokenizer.eos_id, *tags}
    ids = tokenizer.encode(text)
    assert not special & set(ids)
    assert tokenizer.decode(ids) == text


TURNS = [
    Message("system", "hello there"),
    *(m for n in range(3) for m in (Message("user", [f"turn {n} ", picture(n)]), Message("assistant", f"heart {n}"))),
]


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_long_conversations_lose_whole_turns_the_oldest_first(model: AnyToAnyModel, cut: int) -> None:
    interleaver = model.interleaver()
    system, turns = TURNS[:1], TURNS[1:]
    expected = model.interleaver()(Conversation([*system, *turns[2 * cut :]]))
    for limit in (len(expected), len(expected) + 1):
        interleaver.max_length = limit
        found = interleaver(Conversation(TURNS))
        assert found.ids.tolist() == expected.ids.tolist()
        assert found.labels.tolist() == expected.labels.tolist()
        assert found.cut == cut


def test_what_must_stay_and_does_not_fit_is_refused(model: AnyToAnyModel) -> None:
    interleaver = model.interleaver()
    interleaver.max_length = len(interleaver(Conversation([TURNS[0], *TURNS[-2:]]))) - 1
    with pytest.raises(TooLongError, match=r"the last turn and the system message take \d+ tokens; the limit is"):
        interleaver(Conversation(TURNS))


def test_an_answer_that_edits_a_medium_of_a_lost_turn_is_read_and_not_learned(model: AnyToAnyModel) -> None:
    first = [Message("user", ["make it blue ", picture(0)]), Message("assistant", "and")]
    second = [Message("user", "turn it upside down"), Message("assistant", [replace(picture(1), reference=0)])]
    whole = model.interleaver()(Conversation([*first, *second]))
    assert [r.target for r in whole.runs] == [False, True]
    assert whole.runs[1].reference == 0
    interleaver = model.interleaver()
    interleaver.max_length = len(whole) - 1
    cut = interleaver(Conversation([*first, *second]))
    assert cut.cut == 1
    assert [r.target for r in cut.runs] == [False]
    assert (cut.labels == IGNORE).all()


def test_references_are_named_or_the_last_of_the_modality(tokenizer_folder: Path) -> None:
    options = model_options(tokenizer_folder)
    named = Conversation(
        [
            Message("user", [picture(0), sound(1), picture(2)]),
            Message("assistant", [replace(picture(3), reference=0), picture(4), sound(5)]),
        ]
    )
    for rule, expected in (("named", [0, None, None]), ("last", [0, 3, 1])):
        for modality in options["modalities"].values():
            modality["reference"] = rule
        interleaver = AnyToAnyModel.from_config({"model": options}).interleaver()
        assert [run.reference for run in interleaver(named).runs[3:]] == expected
    ahead = Conversation([Message("user", "hello"), Message("assistant", [replace(picture(0), reference=0)])])
    with pytest.raises(ConversationError, match="does not stand before it"):
        interleaver(ahead)


def test_the_question_and_the_system_message_survive_trimming(model: AnyToAnyModel) -> None:
    turns = [
        Message("system", "hello"),
        Message("user", "turn it upside down " * 5),
        Message("assistant", "a red heart"),
        Message("user", ["make it blue ", picture(0)]),
    ]
    interleaver = model.interleaver()
    interleaver.max_length = 36
    text = model.llm.tokenizer.decode(interleaver(Conversation(turns), open_answer=True).ids.tolist())
    assert "hello" in text
    assert "make it blue" in text
    interleaver.max_length = 12
    with pytest.raises(ConversationError, match="the limit is 12"):
        interleaver(Conversation(turns), open_answer=True)


def test_unknown_modality_says_what_the_model_handles(tokenizer_folder: Path) -> None:
    model = AnyToAnyModel.from_config({"model": model_options(tokenizer_folder, ("image",))})
    with pytest.raises(ConversationError, match=r"messages\[0\].*'audio'.*it handles text, image"):
        model.interleaver()(Conversation([Message("user", [sound(0)])]))


def test_generation_prompt_is_the_prefix_of_the_whole(model: AnyToAnyModel) -> None:
    whole = model.interleaver()(CONVERSATION).ids
    prompt = model.interleaver()(CONVERSATION.prompt(), open_answer=True).ids
    assert torch.equal(prompt, whole[: len(prompt)])
    assert len(whole) - len(prompt) == int((whole[len(prompt) :] >= 0).sum())
