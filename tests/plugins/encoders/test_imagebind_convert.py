"""The published pickle becomes safetensors, and nothing else gets in."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from anyloom.cli.main import main as anyloom
from anyloom.errors import CheckpointError
from anyloom.storage.tensors import read_tensors
from anyloom_imagebind.config import ImageBindSizes
from anyloom_imagebind.convert import convert, convert_here
from anyloom_imagebind.encoder import ImageBindEncoder
from imagebind_golden import OWN_SIZES

SIZES = ImageBindSizes(**OWN_SIZES)


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    return ImageBindEncoder.from_options(size=OWN_SIZES).network.state_dict()


class Dangerous:
    """Runs code when a careless reader opens its pickle."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def test_the_command_writes_what_the_encoder_loads(
    tensors: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = tmp_path / "in.pth", tmp_path / "new" / "out.safetensors"
    torch.save(tensors, source)
    assert anyloom(["imagebind-convert", str(source), str(target), "--sizes", json.dumps(OWN_SIZES)]) == 0
    assert str(target) in capsys.readouterr().out
    found = read_tensors(target)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[k], tensors[k]) for k in tensors)
    with safe_open(target, "pt") as file:
        assert file.metadata()["license"] == "CC-BY-NC-SA-4.0"
    ImageBindEncoder.from_options(size=OWN_SIZES, weights=str(target)).load_weights()


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path: Path) -> None:
    source, mark = tmp_path / "in.pth", tmp_path / "mark"
    torch.save({"weights": Dangerous(mark)}, source)
    with pytest.raises(CheckpointError, match="read safely"):
        convert(source, tmp_path / "out.safetensors", SIZES)
    assert not mark.exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_another_models_state_dict_is_refused(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    source = tmp_path / "in.pth"
    torch.save({**tensors, "modality_heads.smell.weight": torch.zeros(1)}, source)
    with pytest.raises(CheckpointError, match=r"modality_heads\.smell\.weight: \(1,\) there, none expected"):
        convert_here(source, tmp_path / "out.safetensors", SIZES)


def test_the_published_size_is_expected_unless_told_otherwise(
    tensors: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(tensors, tmp_path / "in.pth", _use_new_zipfile_serialization=False)
    assert anyloom(["imagebind-convert", str(tmp_path / "in.pth"), str(tmp_path / "out.safetensors")]) == 2
    assert "tensors are not as in ImageBind" in capsys.readouterr().err


def test_what_cannot_be_converted_says_why(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such file"):
        convert(tmp_path / "in.pth", tmp_path / "out.safetensors")
    (tmp_path / "in.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=r"must be named \.safetensors"):
        convert(tmp_path / "in.pth", tmp_path / "out.bin")
    for content in (b"not a checkpoint", b"", b"PK\x03\x04 torn"):
        (tmp_path / "in.pth").write_bytes(content)
        with pytest.raises(CheckpointError, match="read safely"):
            convert_here(tmp_path / "in.pth", tmp_path / "out.safetensors", SIZES)
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "in.pth")
    with pytest.raises(CheckpointError, match="flat state dict"):
        convert_here(tmp_path / "in.pth", tmp_path / "out.safetensors", SIZES)
