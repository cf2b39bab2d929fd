"""More inputs of the kinds that the matrix names, one by one: each is a declared error, and soon."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Media, Message
from anyloom.cli.main import main
from anyloom.config.saved import read_record
from anyloom.errors import AnyloomError, CheckpointError, ConfigError, MediaError
from anyloom.media import write_media
from anyloom.model.saving import start_from
from anyloom.storage.first_use import POLICY_VARIABLE
from anyloom.storage.tensors import write_tensors
from parts import model_options

ASKED = Conversation([Message("user", ["hi"])])


@pytest.fixture
def model(tokenizer_folder: Path) -> AnyToAnyModel:
    return AnyToAnyModel.from_config({"model": model_options(tokenizer_folder, modalities=("image",))})


def test_names_that_are_too_long(tmp_path: Path, model: AnyToAnyModel) -> None:
    with pytest.raises(AnyloomError, match="more than 255 bytes"):
        AnyToAnyModel.from_pretrained("a" * 5000)
    model.save_pretrained(tmp_path / "m")
    record = json.loads((tmp_path / "m" / "config.json").read_text())
    record["references"] = {"encoders.eye": {"x" * 5000 + ".safetensors": "0" * 64}}
    (tmp_path / "m" / "config.json").write_text(json.dumps(record))
    assert list(read_record(tmp_path / "m", trust=True)["references"]) == ["encoders.eye"]
    with pytest.raises(CheckpointError):
        AnyToAnyModel.from_pretrained(tmp_path / "m", trust=True)


@pytest.mark.parametrize("media", [["image"], "image", 3, {"image": 7}])
def test_rules_of_media_of_another_shape(model: AnyToAnyModel, media: Any) -> None:
    with pytest.raises(ConfigError, match="media"):
        model.generate(ASKED, media=media)


def test_tensors_without_values(tmp_path: Path) -> None:
    nothing = Media("image", torch.ones(3, 8, 8, device="meta"))
    with pytest.raises(MediaError, match="holds no values"):
        write_media(nothing, tmp_path / "a.png")


@pytest.mark.parametrize("command", ["show", "replay"])
def test_a_pipe_is_no_session(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "session.json")
    for place in (tmp_path / "session.json", tmp_path):
        assert main([command, str(place)]) == 2
        assert "this is not a file" in capsys.readouterr().err


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="a file that opens and cannot be read")
def test_lines_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "mini", "--jsonl", "/proc/self/mem", "--output", str(tmp_path)]) == 2
    assert "/proc/self/mem: cannot be read (Input/output error)" in capsys.readouterr().err


def test_a_foreign_folder_to_start_from_is_remembered(
    tmp_path: Path, model: AnyToAnyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no list of its files, so what it held the first time is kept; one bit makes it another."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(POLICY_VARIABLE, "refuse")
    tensors = {name: tensor.clone() for name, tensor in model.parts.state_dict().items()}
    (tmp_path / "theirs").mkdir()
    write_tensors(tensors, tmp_path / "theirs" / "model.safetensors", {"format": "pt"})
    start_from(model.parts, tmp_path / "theirs")
    next(t for t in tensors.values() if t.is_floating_point()).view(-1)[0] += 1
    write_tensors(tensors, tmp_path / "theirs" / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match="not the file that was first used here"):
        start_from(model.parts, tmp_path / "theirs")
