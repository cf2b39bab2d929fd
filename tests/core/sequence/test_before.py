"""Which medium stands before which: in a batch, in a packed row, and when an answer begins."""

from __future__ import annotations

from pathlib import Path

import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.generation.reading import read
from anyloom.interfaces import Sample
from parts import model_options, picture


def model(tokenizer: Path) -> AnyToAnyModel:
    torch.manual_seed(0)
    return AnyToAnyModel.from_config({"model": model_options(tokenizer, modalities=("image",))}).eval()


def sample(first: int) -> Sample:
    talk = [Message("user", [picture(first), picture(first + 1)]), Message("assistant", [picture(first + 2)])]
    return Sample(Conversation(talk), "t", key=str(first))


def test_the_medium_before_is_of_the_same_sample(tokenizer_folder: Path) -> None:
    collator = model(tokenizer_folder).collator()
    assert collator([sample(0)]).media["image"].previous.tolist() == [-1, 0, 1]
    assert collator([sample(0), sample(3)]).media["image"].previous.tolist() == [-1, 0, 1, -1, 3, 4]
    packed = collator.pack([[sample(0), sample(3)]])
    assert packed.media["image"].row.tolist() == [0] * 6
    assert packed.media["image"].previous.tolist() == [-1, 0, 1, -1, 3, 4]


def test_an_answer_begins_after_the_last_medium_of_its_prompt(tokenizer_folder: Path) -> None:
    network = model(tokenizer_folder)
    pictures = [picture(1), picture(2)]
    prompt = network.interleaver()(Conversation([Message("user", [*pictures, "again"])]), open_answer=True)
    with torch.no_grad():
        before = read(network, [prompt]).before[0]["image"]
        encoder = network.encoder("image")
        features = encoder(torch.stack([encoder.preprocess(p) for p in pictures]), "image")
    torch.testing.assert_close(before, features[1])
    assert not torch.allclose(before, features[0])
