"""Text that stands in a conversation as features of the text encoder."""

from __future__ import annotations

import pytest

from anyloom.conversation import Conversation, Message
from anyloom.errors import ConversationError, MediaError
from anyloom.media import conversation_from_json, conversation_to_json, io_for, read_media
from anyloom_corpora.text_feature import text_feature, text_of

JSON = {
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is "},
                {"type": "text-feature", "text": "a honey bee, größer als 3 €"},
                {"type": "text", "text": "?"},
            ],
        },
        {"role": "assistant", "content": [{"type": "text-feature", "text": "an insect"}]},
    ]
}


def test_text_features_stand_in_json_as_text(tmp_path):
    conversation = conversation_from_json(JSON)
    assert [media.modality for media in conversation.media] == ["text-feature"] * 2
    assert text_of(conversation.media[0]) == "a honey bee, größer als 3 €"
    assert conversation_to_json(conversation) == JSON
    assert conversation_to_json(conversation, folder=tmp_path) == JSON
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "part",
    [{"type": "image", "text": "a bee"}, {"type": "text-feature", "text": ""}, {"type": "text-feature", "text": 7}],
)
def test_parts_that_cannot_be_text_are_one_clear_error(part):
    with pytest.raises(ConversationError) as failure:
        conversation_from_json([{"role": "user", "content": [part]}])
    assert "messages[0].content[0]" in str(failure.value)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe words", b"x" * 100_001])
def test_files_that_hold_no_short_text_are_refused(tmp_path, content):
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError) as failure:
        read_media(path, "text-feature")
    assert str(path) in str(failure.value)


def test_equal_texts_have_equal_keys_and_show_escaped():
    assert text_feature("a").key == text_feature("a").key != text_feature("b").key
    assert io_for("text-feature").to_html(text_feature("<b>")) == "<mark>&lt;b&gt;</mark>"
    Conversation([Message("user", [text_feature("x")])])
