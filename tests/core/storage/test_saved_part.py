"""``weights: FOLDER#part``: a part of a saved model as the weights of a component of any kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel
from anyloom.checking.preflight import look_over
from anyloom.errors import CheckpointError
from anyloom.storage.tensors import read_tensors
from parts import image_decoder_options, model_options


def options(tokenizer: Path, **weights: str) -> dict[str, Any]:
    """A small encoder and a decoder of the reference plugins."""
    made = model_options(tokenizer, modalities=("image",))
    made["encoders"] = {"eye": {"name": "conv", "weights": weights.get("eye")}}
    decoder = image_decoder_options(space="conv-image", dim=160, weights=weights.get("brush"))
    made["decoders"] = {"brush": decoder}
    made["modalities"]["image"]["decoder"] = "brush"
    return made


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    made = options(tokenizer_folder)
    without = {**made, "decoders": {}, "modalities": {"image": {"encoder": "eye"}}}
    encoder = AnyToAnyModel.from_config({"model": without})
    space = encoder.spaces["image"].predicted
    made["decoders"]["brush"] |= {"space": space.name, "dim": space.dim, "scale": space.scale}
    folder = tmp_path_factory.mktemp("saved")
    AnyToAnyModel.from_config({"model": made}).save_pretrained(folder)
    return folder


def fitting(saved: Path, tokenizer: Path, **weights: str) -> dict[str, Any]:
    """Options of a new model that goes with the saved one."""
    made = options(tokenizer, **weights)
    old = json.loads((saved / "config.json").read_text())["model"]["decoders"]["brush"]
    made["decoders"]["brush"] |= {key: old[key] for key in ("space", "dim", "scale")}
    return made


def test_an_encoder_and_a_decoder_are_taken_and_the_rest_starts_new(saved: Path, tokenizer_folder: Path) -> None:
    made = fitting(saved, tokenizer_folder, eye=f"{saved}#encoders.eye", brush=f"{saved}#decoders.brush")
    model, tensors = AnyToAnyModel.from_config({"model": made}), read_tensors(saved)
    state = model.parts.state_dict()
    taken = [name for name in state if name.startswith(("encoders.eye.", "decoders.brush."))]
    assert len(taken) > 20
    assert all(torch.equal(state[name], tensors[name]) for name in taken)
    assert not all(torch.equal(state[name], tensors[name]) for name in state)


def test_a_model_that_refers_to_a_part_is_saved_and_loaded(saved: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    made = fitting(saved, tokenizer_folder, eye=f"{saved}#encoders.eye")
    made["encoders"]["eye"]["freeze"] = True
    model = AnyToAnyModel.from_config({"model": made})
    model.save_pretrained(tmp_path / "refers", include_frozen=False)
    assert not any(name.startswith("encoders.eye.") for name in read_tensors(tmp_path / "refers"))
    state, again = model.state_dict(), AnyToAnyModel.from_pretrained(tmp_path / "refers").state_dict()
    assert all(torch.equal(state[name], again[name]) for name in state)


def test_the_check_reads_its_header(saved: Path, tokenizer_folder: Path) -> None:
    good = look_over([{"model": fitting(saved, tokenizer_folder, eye=f"{saved}#encoders.eye")}], [])
    assert not [p for p in good.problems if "encoders" in p.where]
    assert not good.missing
    wrong = look_over([{"model": fitting(saved, tokenizer_folder, eye=f"{saved}#decoders.brush")}], [])
    assert any("do not belong" in p.what for p in wrong.problems)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("encoders.ear", "no tensors of 'encoders.ear'.*did you mean 'encoders.eye'"),
        ("encoders.e", "no tensors of"),
        ("decoders.brush", "do not belong to this ConvEncoder"),
    ],
)
def test_another_part_is_one_error(saved: Path, tokenizer_folder: Path, part: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        AnyToAnyModel.from_config({"model": fitting(saved, tokenizer_folder, eye=f"{saved}#{part}")})


def test_a_decoder_of_other_options_is_refused(saved: Path, tokenizer_folder: Path) -> None:
    made = fitting(saved, tokenizer_folder, brush=f"{saved}#decoders.brush")
    made["decoders"]["brush"]["prediction"] = "epsilon"
    with pytest.raises(CheckpointError, match="trained with other options"):
        AnyToAnyModel.from_config({"model": made})


def test_a_changed_model_gives_no_part(saved: Path, tmp_path: Path) -> None:
    content = bytearray((saved / "model.safetensors").read_bytes())
    content[-2] ^= 1
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="this is no saved model"):
        read_tensors(tmp_path.parent / f"{tmp_path.name}#encoders.eye")
    (tmp_path / "config.json").write_bytes((saved / "config.json").read_bytes())
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        read_tensors(tmp_path.parent / f"{tmp_path.name}#encoders.eye")


def test_a_folder_of_that_name_is_a_folder(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "a#encoders.eye").symlink_to(saved)
    assert read_tensors(tmp_path / "a#encoders.eye").keys() == read_tensors(saved).keys()
