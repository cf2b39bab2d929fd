"""Sequences: tags, runs, labels, forged tokens, over-long conversations."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.errors import ConversationError
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
        assert run.steps == 3
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


@pytest.mark.parametrize("limit", range(15, 48))
def test_long_conversations_lose_old_pieces_and_never_split_a_run(model: AnyToAnyModel, limit: int) -> None:
    interleaver = model.interleaver()
    interleaver.max_length = limit
    full = model.interleaver()(CONVERSATION).ids.tolist()
    opening = model.llm.tokenizer.chat_parts(["user"])[0][0]
    answer = full[len(model.interleaver()(CONVERSATION.prompt()).ids) :]
    if limit < len(opening) + len(answer):
        with pytest.raises(ConversationError, match="the limit is"):
            interleaver(CONVERSATION)
        return
    sequence = interleaver(CONVERSATION)
    ids = sequence.ids.tolist()
    assert len(ids) <= limit
    assert ids[: len(opening)] == opening
    rest = ids[len(opening) :]
    assert rest == full[len(full) - len(rest) :]
    for run in sequence.runs:
        assert ids[run.start - 1] == model.tags[run.media.modality].begin
        assert ids[run.start + run.steps] == model.tags[run.media.modality].end
    begins = sum(ids.count(t.begin) for t in model.tags.values())
    ends = sum(ids.count(t.end) for t in model.tags.values())
    assert begins == ends == len(sequence.runs)


def test_the_question_and_the_system_message_survive_trimming(model: AnyToAnyModel) -> None:
    turns = [
        Message("system", "hello"),
        Message("user", "turn it upside down " * 5),
        Message("assistant", "a red heart"),
        Message("user", ["make it blue ", picture(0)]),
    ]
    interleaver = model.interleaver()
    interleaver.max_length = 40
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
