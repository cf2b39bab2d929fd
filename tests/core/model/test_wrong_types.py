"""What is no path, no conversation and no name is refused in one line, wherever Python users give one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import anyloom
from anyloom.generation.options import checked_conversations, checked_seeds
from anyloom.generation.session import Session
from parts import model_options


@pytest.fixture(scope="module")
def model(tokenizer_folder: Path) -> anyloom.AnyToAnyModel:
    return anyloom.AnyToAnyModel.from_config({"model": model_options(tokenizer_folder)})


NO_PATHS: list[Any] = [None, 3, 3.5, True, "", "a\0b", b"x", [], {}, ("a",), torch.zeros(2), object()]
NO_CONVERSATIONS: list[Any] = [None, 3, True, "hello", "", b"x", {}, torch.zeros(2), Path("x"), ["hello"], [None]]


@pytest.mark.parametrize("given", NO_PATHS, ids=lambda given: type(given).__name__)
def test_no_path(given: Any, model: anyloom.AnyToAnyModel) -> None:
    for call in (
        anyloom.read_media, anyloom.AnyToAnyModel.from_pretrained, model.save_pretrained, anyloom.sample,
        lambda path: anyloom.write_media(anyloom.sample("hat"), path), anyloom.Message("assistant", "yes").save,
    ):  # fmt: skip
        with pytest.raises(anyloom.AnyloomError):
            call(given)


@pytest.mark.parametrize("given", NO_CONVERSATIONS, ids=lambda given: type(given).__name__)
def test_no_conversation(given: Any, model: anyloom.AnyToAnyModel) -> None:
    with pytest.raises(anyloom.AnyloomError, match="conversation"):
        model.generate(given, max_new_tokens=1)


def test_whole_numbers_of_numpy_are_seeds() -> None:
    assert checked_seeds(np.int64(3), 2) == [3, 4]
    assert checked_seeds([np.uint8(3), 4], 2) == [3, 4]
    with pytest.raises(anyloom.AnyloomError, match="no seed"):
        checked_seeds(np.bool_(True), 1)


def test_one_or_several() -> None:
    one = anyloom.Conversation([anyloom.Message("user", "hello")])
    assert checked_conversations(one) == [one]
    assert checked_conversations((one, one)) == [one, one]
    assert checked_conversations([]) == []


@pytest.mark.parametrize(("messages", "seed"), [("hello", 0), (["hello"], 0), (3, 0), ([], None), ([], "x"), ([], [])])
def test_no_session(messages: Any, seed: Any, model: anyloom.AnyToAnyModel) -> None:
    with pytest.raises(anyloom.AnyloomError):
        Session(model, messages, seed=seed)
