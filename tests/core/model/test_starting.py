"""A run takes over what a saved model has: all of it, some parts, or all but a modality that it does not know."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from anyloom import AnyToAnyModel
from anyloom.checking.preflight import look_over
from anyloom.cli.main import main
from anyloom.errors import CheckpointError
from anyloom.model.saving import start_from
from anyloom.network.config import ModelConfig
from anyloom.network.parts import Parts
from anyloom.options import validate
from anyloom.storage.tensors import write_tensors
from parts import image_decoder_options, model_options
from projects import sections, write_config


def built(options: dict[str, Any], seed: int) -> AnyToAnyModel:
    torch.manual_seed(seed)
    return AnyToAnyModel(validate(ModelConfig, options, where="model"))


def options(tokenizer: Path, *modalities: str, decoder: bool = False) -> dict[str, Any]:
    made = model_options(tokenizer, modalities=modalities)
    if decoder:
        made["decoders"] = {"brush": image_decoder_options()}
        made["modalities"]["image"]["decoder"] = "brush"
    return made


def state(parts: Parts) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in parts.state_dict().items()}


def test_a_modality_that_is_added_starts_new_and_the_tags_of_the_others_stay(
    tokenizer_folder: Path, tmp_path: Path
) -> None:
    old = built(options(tokenizer_folder, "image"), 1)
    old.save_pretrained(tmp_path / "old")
    new = built(options(tokenizer_folder, "image", "audio", "video", decoder=True), 2)
    before = state(new.parts)
    begun = start_from(new.parts, tmp_path / "old")
    assert begun == [
        "decoders.brush",
        *(f"representations.{m}" for m in ("audio", "video")),
    ]
    after, saved = state(new.parts), load_file(tmp_path / "old" / "model.safetensors")
    for name, tensor in after.items():
        if any(name.startswith(part) for part in begun):
            assert torch.equal(tensor, before[name]), name
        elif not name.startswith("llm.new_"):
            assert torch.equal(tensor, saved[name]), name
    old_ids, new_ids = old.tags["image"], new.tags["image"]
    first = new.llm.vocab_size
    for rows in ("llm.new_input_rows", "llm.new_output_rows"):
        for mine, theirs in ((new_ids.begin, old_ids.begin), (new_ids.end, old_ids.end)):
            assert torch.equal(after[rows][mine - first], saved[rows][theirs - first]), "its tags mean what they meant"
        audio = new.tags["audio"].begin - first
        assert audio == 0, "tags stand in the order of their names"
        assert torch.equal(after[rows][audio], before[rows][audio])


def test_some_parts_are_taken_over_and_the_others_start_new(tokenizer_folder: Path, tmp_path: Path) -> None:
    old = built(options(tokenizer_folder, "image", "audio", decoder=True), 1)
    old.save_pretrained(tmp_path / "old")
    other = options(tokenizer_folder, "image", decoder=True)
    other["llm"]["architecture"] = {**other["llm"]["architecture"], "hidden_size": 64}
    new = built(other, 2)
    before = state(new.parts)
    begun = start_from(new.parts, tmp_path / "old", ["encoders", "decoders.brush"])
    assert begun == ["representations.image", "llm"]
    saved = load_file(tmp_path / "old" / "model.safetensors")
    for name, tensor in state(new.parts).items():
        taken = name.startswith(("encoders.", "decoders."))
        assert torch.equal(tensor, saved[name] if taken else before[name]), name
    for wrong in ("decoders.brusch", "vocoder", "encoders.ear"):
        with pytest.raises(CheckpointError, match="has no part"):
            start_from(new.parts, tmp_path / "old", [wrong])
    with pytest.raises(CheckpointError, match="shapes wrong"):
        start_from(new.parts, tmp_path / "old", ["llm"])


def test_what_is_left_over_is_still_refused(tokenizer_folder: Path, tmp_path: Path) -> None:
    built(options(tokenizer_folder, "image", "audio"), 1).save_pretrained(tmp_path / "old")
    with pytest.raises(CheckpointError, match="keys unexpected"):
        start_from(built(options(tokenizer_folder, "image"), 2).parts, tmp_path / "old")
    renamed = options(tokenizer_folder, "image", "audio")
    renamed["encoders"] = {"other": renamed["encoders"]["eye"]}
    renamed["modalities"] = {m: {"encoder": "other"} for m in renamed["modalities"]}
    with pytest.raises(CheckpointError, match="keys unexpected"):
        start_from(built(renamed, 2).parts, tmp_path / "old")
    tensors = load_file(tmp_path / "old" / "model.safetensors")
    tensors.pop(next(name for name in tensors if name.startswith("representations.image")))
    write_tensors(tensors, tmp_path / "part" / "model.safetensors")
    with pytest.raises(CheckpointError, match="keys missing"):
        start_from(built(options(tokenizer_folder, "image", "audio"), 2).parts, tmp_path / "part")


def test_a_modality_is_added_by_config_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = sections(tmp_path, max_steps=1)
    project["trainer"]["limit_train_batches"] = 1
    one = copy.deepcopy(project)
    assert main(["fit", write_config(tmp_path, one)]) == 0
    more = copy.deepcopy(project)
    more["model"]["modalities"]["video"] = {"encoder": "eye"}
    more["module"]["start_from"] = {"folder": one["result"]}
    more["result"] = str(tmp_path / "more")
    assert look_over([more]).problems == []
    assert main(["fit", write_config(tmp_path, more)]) == 0
    assert "these parts start new: representations.video" in capsys.readouterr().err
    wrong = copy.deepcopy(more)
    wrong["module"]["start_from"]["parts"] = ["decoders"]
    assert "has no part 'decoders'" in str(look_over([wrong]).problems[0])
    assert main(["validate", write_config(tmp_path, {**more, "result": None})]) == 0
