"""Conversations on disk: where their media may lie, and the limits they are read with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from anyloom.building import build
from anyloom.conversation import Media
from anyloom.errors import AnyloomError, ConfigError, MediaError
from anyloom.media import read_media, write_media


def lines(folder: Path, path: str) -> Path:
    """One line that asks with a picture."""
    messages = [{"role": "user", "content": [{"type": "image", "path": path}]}, {"role": "assistant", "content": "yes"}]
    file = folder / "train.jsonl"
    file.write_text(json.dumps({"messages": messages}) + "\n")
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_media(Media("image", torch.rand(3, 10, 10)), tmp_path / "pictures" / "a.png")
    (tmp_path / "rows").mkdir()
    return tmp_path


@pytest.mark.parametrize("path", ["../pictures/a.png", "{folder}/pictures/a.png"])
def test_media_lie_below_the_file_or_below_the_root_that_is_given(folder: Path, path: str) -> None:
    file = lines(folder / "rows", path.format(folder=folder))
    with pytest.raises(AnyloomError, match="leaves the folder"):
        build("dataset", "conversations", {"train": str(file)}).build("train")[0]
    trusted = build(
        "dataset", "conversations", {"train": str(lines(folder / "rows", "pictures/a.png")), "media_root": str(folder)}
    )
    assert trusted.build("train")[0].conversation.media[0].tensor().shape == (3, 10, 10)
    everything = {"train": str(lines(folder / "rows", f"{folder}/pictures/a.png")), "media_root": "/"}
    sample = build("dataset", "conversations", everything).build("train")[0]
    assert sample.conversation.media[0].tensor().shape == (3, 10, 10)


def test_limits_are_options_of_the_data_set(folder: Path) -> None:
    options = {"train": str(lines(folder, "pictures/a.png")), "media_options": {"image": {"max_pixels": 99}}}
    media = build("dataset", "conversations", options).build("train")[0].conversation.media[0]
    with pytest.raises(MediaError, match="100 pixels are more than the limit of 99"):
        media.tensor()
    wrong = {**options, "media_options": {"image": {"max_pixel": 99}}}
    with pytest.raises(ConfigError, match="max_pixel"):
        build("dataset", "conversations", wrong).build("train")


def test_media_may_be_read_in_a_process_of_their_own(folder: Path) -> None:
    options = {"train": str(lines(folder, "pictures/a.png")), "media_isolation": {"seconds": 100}}
    media = build("dataset", "conversations", options).build("train")[0].conversation.media[0]
    assert torch.equal(media.tensor(), read_media(folder / "pictures" / "a.png").tensor())
    with pytest.raises(AnyloomError, match="must be positive"):
        build("dataset", "conversations", {**options, "media_isolation": {"seconds": -1}})
