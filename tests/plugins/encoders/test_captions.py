"""Captions' features in the place of pictures' own: what is predicted is what the text tower says of the words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Media, Message
from anyloom.errors import ConfigError, ConversationError, MediaError
from anyloom.interfaces import Sample
from anyloom.media import conversation_from_json, conversation_to_json, write_media
from anyloom_captions.encoder import CaptionEncoder
from imagebind_golden import OWN_SIZES, VOCABULARY
from parts import model_options, picture

SIZES = {**OWN_SIZES, "vocabulary": 49408}
WORDS = {"name": "imagebind", "size": SIZES, "vocabulary": str(VOCABULARY), "modalities": ["text-feature"]}


def options(tokenizer: Path) -> dict[str, Any]:
    made = model_options(tokenizer, modalities=("image",))
    made["encoders"]["words"] = {"name": "captions", "encoder": WORDS}
    made["modalities"]["image"]["target_encoder"] = "words"
    return made


def asked(medium: Media) -> Conversation:
    return Conversation([Message("user", [picture(7), "again"]), Message("assistant", [medium])])


def test_features_are_the_text_towers_of_the_words() -> None:
    encoder = CaptionEncoder.from_options(encoder=WORDS).eval()
    inner = encoder.encoder
    inputs = encoder.preprocess(picture(0).captioned("a photo of a dog"))
    assert torch.equal(inputs, inner.tokenize("a photo of a dog")[0])  # type: ignore[operator]
    with torch.no_grad():
        assert torch.equal(encoder(inputs[None], "image"), inner(inputs[None], "text-feature"))
    assert encoder.feature_space("image") == inner.feature_space("text-feature")
    with pytest.raises(ConfigError):
        encoder.feature_space("audio")


def test_the_picture_itself_is_never_opened() -> None:
    def explode() -> torch.Tensor:
        raise AssertionError("opened")

    encoder = CaptionEncoder.from_options(encoder=WORDS)
    assert encoder.preprocess(Media("image", loader=explode, key="x").captioned("a dog")).shape == (77,)


def test_a_model_learns_to_predict_the_words_and_answers_with_them(tokenizer_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = AnyToAnyModel.from_config({"model": options(tokenizer_folder)}).train()
    sample = Sample(asked(picture(1).captioned("a photo of a dog")), "t", key="1")
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        terms = model(model.collator()([sample])).terms
        terms["feature/image"].mean.backward()
        optimizer.step()
        losses.append(terms["feature/image"].mean.item())
    assert losses[-1] < 0.2 * losses[0]
    model.eval().save_pretrained(tmp_path / "saved")
    again = AnyToAnyModel.from_pretrained(tmp_path / "saved", trust=True).eval()
    answer = again.generate(sample.conversation.prompt(), plan=("image",), seed=0)
    assert isinstance(answer, Message)
    encoder = CaptionEncoder.from_options(encoder=WORDS)
    encoder.load_state_dict(model.parts.encoder("words").state_dict())
    with torch.no_grad():
        true = encoder(encoder.preprocess(sample.conversation.media[-1])[None], "image")[0]
    made = answer.media[0].features
    assert made is not None
    assert (made - true).square().mean() < 0.2 * true.square().mean()


def test_two_captions_of_one_picture_are_two_targets(tokenizer_folder: Path) -> None:
    model = AnyToAnyModel.from_config({"model": options(tokenizer_folder)}).eval()
    samples = [Sample(asked(picture(1).captioned(words)), "t") for words in ("a dog", "a photo of a dog")]
    batch = model.collator()(samples)
    wanted = model.encode("image", batch.media["image"]).wanted
    assert wanted is not None
    first, second = wanted[batch.media["image"].made]
    assert not torch.equal(first, second)


def test_a_target_without_words_is_named(tokenizer_folder: Path) -> None:
    model = AnyToAnyModel.from_config({"model": options(tokenizer_folder)})
    with pytest.raises(MediaError, match="without a caption") as caught:
        model.collator()([Sample(asked(picture(3)), "t")])
    assert '"caption"' in str(caught.value.fix)


def test_captions_pass_through_json(tmp_path: Path) -> None:
    path = write_media(Media("image", torch.zeros(3, 4, 4, dtype=torch.uint8)), tmp_path / "x.png")
    part = {"type": "image", "path": path.name, "caption": "größer als ein Hund"}
    read = conversation_from_json([{"role": "assistant", "content": [part]}], root=tmp_path)
    assert read.media[0].caption == "größer als ein Hund"
    written = conversation_to_json(read, folder=tmp_path / "copy")
    again = conversation_from_json(json.loads(json.dumps(written)), root=tmp_path / "copy")
    assert again.media[0].caption == "größer als ein Hund"


def test_captions_and_references_of_media_that_are_texts_are_kept(tmp_path: Path) -> None:
    first = {"type": "text-feature", "text": "a bee"}
    second = {"type": "text-feature", "text": "a wasp", "caption": "an insect", "reference": 0}
    read = conversation_from_json([{"role": "user", "content": [first]}, {"role": "assistant", "content": [second]}])
    assert (read.media[1].caption, read.media[1].reference) == ("an insect", 0)
    assert conversation_to_json(read)["messages"][1]["content"] == [second]


@pytest.mark.parametrize("caption", ["", 7, None, ["a"], "x" * 10_001, "\ud800"])
def test_what_is_no_caption_is_refused(tmp_path: Path, caption: object) -> None:
    path = write_media(Media("image", torch.zeros(3, 4, 4, dtype=torch.uint8)), tmp_path / "x.png")
    part = {"type": "image", "path": path.name, "caption": caption}
    with pytest.raises(ConversationError):
        conversation_from_json([{"role": "assistant", "content": [part]}], root=tmp_path)
