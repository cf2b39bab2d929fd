"""What ``check`` says about weights is what ``fit`` would have said, without a value being read."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from anyloom import AnyToAnyModel
from anyloom.checking.preflight import look_over
from anyloom.errors import AnyloomError
from anyloom.network.config import ModelConfig
from anyloom.options import validate
from anyloom.training.run import run
from parts import DIM, image_decoder_options
from projects import sections


def problems(config: dict[str, Any]) -> list[str]:
    return [str(p) for p in look_over([copy.deepcopy(config)], trust=True).problems]


def fails(config: dict[str, Any]) -> str:
    with pytest.raises(AnyloomError) as caught:
        run("fit", copy.deepcopy(config))
    return str(caught.value)


def with_file(folder: Path, tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    config = sections(folder, max_steps=1)
    save_file(tensors, folder / "eye.safetensors")
    eye = {"class_path": "projects.FileEncoder", "weights": str(folder / "eye.safetensors")}
    config["model"]["encoders"]["eye"] = eye
    return config


RIGHT = {"linear.weight": torch.zeros(DIM, 48), "linear.bias": torch.zeros(DIM)}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"linear.weight": torch.zeros(DIM, 47), "linear.bias": torch.zeros(DIM)}, r"linear.weight is \(8, 47\)"),
        ({"linear.weight": torch.zeros(DIM, 48)}, "1 keys missing: linear.bias"),
        ({**RIGHT, "more": torch.zeros(1)}, "1 keys unexpected: more"),
        ({**RIGHT, "linear.bias": torch.zeros(DIM, dtype=torch.int8)}, "linear.bias is int8"),
    ],
)
def test_weights_of_another_part_are_found_by_their_header(
    tmp_path: Path, tensors: dict[str, torch.Tensor], message: str
) -> None:
    config = with_file(tmp_path, tensors)
    (problem,) = problems(config)
    assert problem.startswith("model.encoders.eye: ")
    assert message.replace("\\", "") in problem
    assert message.replace("\\", "") in fails(config)


def test_no_value_is_read(tmp_path: Path) -> None:
    """A file of a hundred gigabytes, of which only the header has any bytes on the disk."""
    config = with_file(tmp_path, RIGHT)
    assert problems(config) == []
    header = {
        "linear.weight": {"dtype": "F32", "shape": [25_000_000_000, 1], "data_offsets": [0, 100_000_000_000]},
        "linear.bias": {"dtype": "F32", "shape": [0], "data_offsets": [100_000_000_000, 100_000_000_000]},
    }
    text = json.dumps(header).encode()
    with (tmp_path / "eye.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + 100_000_000_000)
    (problem,) = problems(config)
    assert "linear.weight is (25000000000, 1), expected (8, 48)" in problem


def test_a_file_that_is_cut_off_is_found(tmp_path: Path) -> None:
    config = with_file(tmp_path, RIGHT)
    file = tmp_path / "eye.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    (problem,) = problems(config)
    assert "truncated" in problem


@pytest.mark.parametrize("form", ["saved model", "tensors alone"])
def test_a_start_that_does_not_fit_is_found(tmp_path: Path, form: str) -> None:
    config = sections(tmp_path, max_steps=1)
    other = copy.deepcopy(config["model"])
    other["llm"]["architecture"] |= {"hidden_size": 64, "intermediate_size": 32}
    model = AnyToAnyModel(validate(ModelConfig, other, where="model"))
    model.save_pretrained(tmp_path / "start")
    if form == "tensors alone":
        (tmp_path / "start" / "config.json").unlink()
    config["module"]["start_from"] = str(tmp_path / "start")
    (problem,) = problems(config)
    assert problem.startswith("module.start_from: ")
    assert "shapes wrong" in problem
    assert "shapes wrong" in fails(config)
    fitting = AnyToAnyModel(validate(ModelConfig, config["model"], where="model"))
    fitting.save_pretrained(tmp_path / "start")
    assert problems(config) == []


def test_a_start_that_refers_to_frozen_weights_fits(tmp_path: Path) -> None:
    config = with_file(tmp_path, RIGHT)
    config["model"]["encoders"]["eye"]["freeze"] = True
    config["module"]["save_frozen"] = False
    run("fit", copy.deepcopy(config))
    assert "parts.encoders.eye.linear.weight" not in load_file(tmp_path / "result" / "model.safetensors")
    config["module"]["start_from"] = str(tmp_path / "result")
    assert problems(config) == []


def test_stages_that_train_a_part_show_their_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from anyloom.building import build_named
    from anyloom.cli.main import main
    from projects import write_config

    config = sections(tmp_path, max_steps=1)
    brush = image_decoder_options()
    stage = {"module": {"name": "decoder", "decoder": brush, "encoder": config["model"]["encoders"]["eye"]}}
    config["stages"] = {"paint": {**stage, "result": str(tmp_path / "brush")}}
    decoder = build_named("decoder", brush, where="")
    eye = build_named("encoder", config["model"]["encoders"]["eye"], where="")
    size = sum(p.numel() * 4 for p in decoder.parameters())
    buffers = sum(b.numel() * b.element_size() for b in decoder.buffers())
    memory = look_over([copy.deepcopy(config)], trust=True).stages["paint"]
    assert memory.weights == size + buffers + sum(p.numel() * 4 for p in eye.parameters())
    assert (memory.gradients, memory.optimizer) == (size, 2 * size)
    assert main(["check", write_config(tmp_path, config)]) == 0
    assert "Memory of the stage 'paint' in training: at most" in capsys.readouterr().out
