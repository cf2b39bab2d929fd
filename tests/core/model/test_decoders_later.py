"""Models whose decoders are built when the first is asked for: compared with models that were read whole."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.errors import AnyloomError, CheckpointError
from anyloom.network.config import ModelConfig
from anyloom.options import validate
from anyloom.storage.hashes import sha256
from anyloom.storage.tensors import read_tensors, write_tensors
from parts import image_decoder_options, model_options

QUESTION = Conversation([Message("user", ["paint"])])
FORCED = {"image": "force"}


@pytest.fixture
def saved(tokenizer_folder: Path, tmp_path: Path) -> Path:
    options = model_options(tokenizer_folder, ("image",), decoders={"brush": image_decoder_options()})
    options["modalities"]["image"]["decoder"] = "brush"
    model = AnyToAnyModel(validate(ModelConfig, options, where="model"))
    model.eval().save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def pictures(model: AnyToAnyModel) -> list[torch.Tensor]:
    answer = model.generate(QUESTION, FORCED, seed=3, max_new_tokens=2)
    assert isinstance(answer, Message)
    return [medium.tensor() for medium in answer.media]


def test_answers_are_those_of_a_model_that_was_read_whole(saved: Path) -> None:
    whole, later = (AnyToAnyModel.from_pretrained(saved, trust=True, decoders_later=late) for late in (False, True))
    assert len(whole.parts.decoders)
    assert not len(later.parts.decoders)
    assert all(torch.equal(a, b) for a, b in zip(pictures(whole), pictures(later), strict=True))
    assert len(later.parts.decoders) == len(whole.parts.decoders)
    expected = whole.state_dict()
    assert later.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in later.state_dict().items())
    modes = {name: module.training for name, module in whole.named_modules()}
    assert {name: module.training for name, module in later.named_modules()} == modes


def test_saving_asks_for_the_decoders(saved: Path, tmp_path: Path) -> None:
    AnyToAnyModel.from_pretrained(saved, trust=True, decoders_later=True).save_pretrained(tmp_path / "again")
    assert sha256(tmp_path / "again" / "model.safetensors") == sha256(saved / "model.safetensors")


def test_parts_that_are_frozen_are_so_as_well(saved: Path) -> None:
    whole, later = (AnyToAnyModel.from_pretrained(saved, trust=True, decoders_later=late) for late in (False, True))
    later.parts.complete()
    trained = {name: p.requires_grad for name, p in whole.named_parameters()}
    assert {name: p.requires_grad for name, p in later.named_parameters()} == trained


def test_who_asks_twice_for_a_broken_decoder_is_told_twice(saved: Path) -> None:
    tensors = read_tensors(saved)
    dropped = next(name for name in tensors if name.startswith("decoders."))
    write_tensors({name: t for name, t in tensors.items() if name != dropped}, saved / "model.safetensors")
    record = json.loads((saved / "config.json").read_text())
    record["files"]["model.safetensors"] = sha256(saved / "model.safetensors")
    (saved / "config.json").write_text(json.dumps(record))
    model = AnyToAnyModel.from_pretrained(saved, trust=True, decoders_later=True)
    for _ in range(2):
        with pytest.raises(CheckpointError, match="1 keys missing"):
            model.decoder("image")
    assert not len(model.parts.decoders)


def test_code_that_is_not_trusted_is_not_imported_later(saved: Path) -> None:
    record = json.loads((saved / "config.json").read_text())
    next(iter(record["model"]["decoders"].values()))["name"] = "os.path.Thing"
    (saved / "config.json").write_text(json.dumps(record))
    with pytest.raises(AnyloomError, match=r"os\.path\.Thing"):
        AnyToAnyModel.from_pretrained(saved, decoders_later=True).decoder("image")


@pytest.mark.slow
def test_a_first_word_does_not_wait_for_the_libraries_that_draw() -> None:
    program = """
import sys
from anyloom import AnyToAnyModel
session = AnyToAnyModel.from_pretrained("mini", decoders_later=True).session()
events = session.stream("a red circle", media={"image": "force"})
next(events)
print([name for name in ("diffusers", "peft") if name in sys.modules])
events.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
