"""Saved models: integrity, references, every component alike. What was loaded is compared with the tensors."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from anyloom import AnyToAnyModel
from anyloom.errors import AnyloomError, CheckpointError
from anyloom.network.config import ModelConfig
from anyloom.options import validate
from anyloom.training.run import run
from parts import model_options
from projects import sections


def build(options: dict[str, Any]) -> AnyToAnyModel:
    return AnyToAnyModel(validate(ModelConfig, options, where="model")).eval()


@pytest.fixture
def saved(tokenizer_folder: Path, tmp_path: Path) -> Path:
    build(model_options(tokenizer_folder)).save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def edit(folder: Path, change: Any) -> None:
    record = json.loads((folder / "config.json").read_text())
    change(record)
    (folder / "config.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("files"), "does not list its files"),
        (lambda r: r.update(files=None), "does not list its files"),
        (lambda r: r.update(files=[]), "does not list its files"),
        (lambda r: r["files"].pop("model.safetensors"), "does not list 'model.safetensors'"),
        (lambda r: r["files"].pop("llm/tokenizer.json"), r"tokenizer\.json.*does not list it"),
        (lambda r: r["files"].update({"/etc/hostname": "0" * 64}), "not in its folder"),
        (lambda r: r["files"].update({"../../x": "0" * 64}), "not in its folder"),
        (lambda r: r.pop("model"), "model should be a mapping"),
        (lambda r: r.update(model=[]), "model should be a mapping"),
        (lambda r: r.update(references=[1]), "references should be a mapping"),
        (lambda r: r.update(references={"llm": None}), r"references\.llm should be a mapping"),
        (lambda r: r.update(references={"llm": {"/etc/hostname": "0" * 64}}), "no file of weights"),
        (lambda r: r["model"]["llm"].update(tokenizer="@/../../x"), "outside the saved model"),
        (lambda r: r["model"]["llm"].update(tokenizer="/etc"), "outside the saved model"),
        (lambda r: r["model"]["llm"].update(tokenizer="../tokenizer"), "outside the saved model"),
        (lambda r: r.update(format=99), "format 99 is not 2"),
    ],
)  # fmt: skip
def test_a_record_that_does_not_prove_its_files_is_refused(saved: Path, change: Any, message: str) -> None:
    edit(saved, change)
    with pytest.raises(CheckpointError, match=message):
        AnyToAnyModel.from_pretrained(saved, trust=True)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 900, "7", "[]", "", "\0", '{"format": 2}'])
def test_a_config_that_is_none_is_one_error(saved: Path, text: str) -> None:
    (saved / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        AnyToAnyModel.from_pretrained(saved, trust=True)


@pytest.mark.parametrize("name", ["model.safetensors", "llm/tokenizer.json", "llm/tokenizer_config.json"])
def test_one_flipped_bit_is_noticed_in_every_file(saved: Path, name: str) -> None:
    file = saved / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(AnyloomError, match=file.name.replace(".", r"\.")):
        AnyToAnyModel.from_pretrained(saved, trust=True)


def test_a_stranger_s_model_reaches_no_network(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def connect(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", connect)
    edit(saved, lambda r: r["model"]["llm"].update(weights="evil/repo", download=True, architecture=None))
    with pytest.raises(CheckpointError, match="evil/repo"):
        AnyToAnyModel.from_pretrained(saved, trust=True)


def test_a_model_that_is_not_finite_replaces_nothing(saved: Path) -> None:
    model = AnyToAnyModel.from_pretrained(saved, trust=True)
    before = load_file(saved / "model.safetensors")
    next(model.llm.parameters()).data.view(-1)[0] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        model.save_pretrained(saved)
    again = AnyToAnyModel.from_pretrained(saved, trust=True).parts.state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in before.items())
    assert {p.name for p in saved.iterdir()} == {"config.json", "model.safetensors", "llm"}


def projector_of(model: AnyToAnyModel) -> Any:
    return model.representation("image").input_projector


def test_every_component_is_saved_and_loaded_alike(tokenizer_folder: Path, tmp_path: Path) -> None:
    """A projector's weights and its other files need not stay where they were."""
    options = model_options(tokenizer_folder, ("image",))
    plain = build(options)
    save_file(projector_of(plain).state_dict(), tmp_path / "projector.safetensors")
    (tmp_path / "table.txt").write_text("1 2 3")
    projector = {
        "class_path": "projects.FileProjector",
        "weights": str(tmp_path / "projector.safetensors"),
        "table": str(tmp_path / "table.txt"),
    }
    options["modalities"]["image"]["representation"] = {"name": "autoregressive", "input_projector": projector}
    model = build(options)
    model.save_pretrained(tmp_path / "saved")
    for name in ("projector.safetensors", "table.txt"):
        (tmp_path / name).unlink()
    shutil.move(tmp_path / "saved", tmp_path / "elsewhere")
    loaded = AnyToAnyModel.from_pretrained(tmp_path / "elsewhere", trust=True)
    moved = projector_of(loaded)
    assert moved.config.weights is None
    assert Path(moved.config.table).read_text() == "1 2 3"
    given = projector_of(plain).state_dict()
    assert all(torch.equal(moved.state_dict()[k], v) for k, v in given.items())


def referring(folder: Path) -> dict[str, Any]:
    """A project whose result refers to an LLM and an encoder in files of their own."""
    config = sections(folder, max_steps=2)
    plain = build(copy.deepcopy(config["model"]))
    save_file(plain.encoder("image").state_dict(), folder / "eye.safetensors")
    plain.llm.lm.save_pretrained(folder / "llm")  # type: ignore[union-attr, operator]
    tokenizer = config["model"]["llm"]["tokenizer"]
    lora = {"rank": 2, "targets": ["q_proj"]}
    config["model"]["llm"] = {
        "name": "llama", "weights": str(folder / "llm"), "tokenizer": tokenizer, "lora": lora, "attention": "eager"
    }  # fmt: skip
    eye = {"class_path": "projects.FileEncoder", "weights": str(folder / "eye.safetensors"), "freeze": True}
    config["model"]["encoders"]["eye"] = eye
    config["module"]["save_frozen"] = False
    return config


def test_a_result_that_refers_to_its_frozen_parts_can_be_used_in_every_way(tmp_path: Path) -> None:
    config = referring(tmp_path)
    fitted = run("fit", config).model.model
    kept = load_file(tmp_path / "result" / "model.safetensors")
    assert not [name for name in kept if name.startswith("encoders.")]
    assert not [name for name in kept if "embed_tokens" in name]
    for command in ("validate", "test", "predict"):
        used = run(command, config, answers=tmp_path / "answers").model.model
        assert all(torch.equal(used.state_dict()[k], v) for k, v in fitted.state_dict().items()), command
    again = run("fit", {**config, "module": {**config["module"], "start_from": str(tmp_path / "result")}})
    assert again.trainer.global_step == 2
    save_file({"linear.weight": torch.zeros(8, 48), "linear.bias": torch.zeros(8)}, tmp_path / "eye.safetensors")
    with pytest.raises(CheckpointError, match=r"other files for encoders\.eye"):
        run("test", config)
    with pytest.raises(CheckpointError, match="saved with another file"):
        AnyToAnyModel.from_pretrained(tmp_path / "result", trust=True)


@pytest.mark.parametrize("moved", ["project", "result"])
def test_references_hold_where_the_project_or_the_result_was_moved(tmp_path: Path, moved: str) -> None:
    project = tmp_path / "project"
    project.mkdir()
    fitted = run("fit", referring(project)).model.model.state_dict()
    if moved == "project":
        shutil.move(project, tmp_path / "moved")
        result = tmp_path / "moved" / "result"
    else:
        (tmp_path / "far" / "away").mkdir(parents=True)
        result = Path(shutil.move(project / "result", tmp_path / "far" / "away" / "result"))
    loaded = AnyToAnyModel.from_pretrained(result, trust=True).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in fitted.items())
