"""Weights in half precision: answers, metrics, training and generation in Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.training.run import run
from parts import image_decoder_options, model_options, picture
from projects import sections


def project(folder: Path, precision: str) -> dict[str, Any]:
    config = sections(folder, max_steps=1)
    config["model"]["decoders"] = {"brush": image_decoder_options()}
    config["model"]["modalities"]["image"]["decoder"] = "brush"
    config["trainer"]["precision"] = precision
    return config


@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed"])
def test_every_command_runs(tmp_path: Path, precision: str) -> None:
    config = project(tmp_path, precision)
    run("fit", config)
    for command in ("validate", "predict"):
        run(command, config, answers=tmp_path / "answers")
    lines = (tmp_path / "answers" / "answers.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert "image" in json.dumps(lines)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_that_was_moved_to_half_answers(tokenizer_folder: Path, dtype: torch.dtype) -> None:
    options = model_options(tokenizer_folder)
    options["decoders"] = {"brush": image_decoder_options()}
    options["modalities"]["image"]["decoder"] = "brush"
    model = AnyToAnyModel.from_config({"model": options}).eval()
    asked = Conversation([Message("user", ["make it blue", picture(1)])])
    answers = [m.generate(asked, media={"image": "force"}, max_new_tokens=2) for m in (model, model.to(dtype))]
    for answer in answers:
        assert isinstance(answer, Message)
        assert answer.media[0].tensor().isfinite().all()
        assert answer.media[0].tensor().dtype == torch.float32
