"""The feature-decoder stage on edits: it learns from references, and a resumed run equals the uninterrupted one."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom.building import build_named
from anyloom.interfaces import Condition
from anyloom.media import write_media
from anyloom.storage.tensors import read_tensors
from anyloom.training.run import run
from parts import image_decoder_options, picture

CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"


def edits(folder: Path, count: int = 8) -> Path:
    """A picture in, another one out."""
    lines = []
    for i in range(count):
        given, made = (
            {"type": "image", "path": write_media(picture(n), folder / f"{n}.png").name} for n in (i, 50 + i)
        )
        messages = [{"role": "user", "content": [given]}, {"role": "assistant", "content": [made]}]
        lines.append(json.dumps({"messages": messages, "task": "edit"}))
    path = folder / "train.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def project(folder: Path, **decoder: Any) -> dict[str, Any]:
    folder.mkdir()
    train = str(edits(folder))
    options = {"dirpath": str(folder / "checkpoints"), "every_n_train_steps": 1, "save_last": True}
    return {
        "module": {
            "name": "feature-decoder",
            "encoder": {"class_path": "parts.PatchEncoder"},
            "decoder": image_decoder_options(picture_size=8, reference_dropout=0.3, **decoder),
            "optimizer": {"lr": 0.01},
            "average": 0.5,
        },
        "data": {"datasets": {"edits": {"name": "conversations", "train": train, "val": train}}, "batch_size": 3},
        "trainer": {
            "accelerator": "cpu",
            "max_steps": 4,
            "default_root_dir": str(folder / "run"),
            "logger": False,
            "callbacks": [{"class_path": CHECKPOINT, "init_args": options}],
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
        },
        "result": str(folder / "result"),
    }


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
def test_the_stage_trains_the_new_weights_and_a_resumed_run_is_exact(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = project(tmp_path / "whole", reference=True)
    run("fit", whole)
    expected = read_tensors(tmp_path / "whole" / "result")
    assert bool(expected["unet.conv_in.weight"][:, 4:].abs().sum((0, 2, 3)).gt(0).all())

    config = project(tmp_path / "cut", reference=True)
    cut = copy.deepcopy(config)
    cut["trainer"]["callbacks"].append({"class_path": "projects.PowerCut", "init_args": {"step": 2}})
    with pytest.raises(RuntimeError, match="power cut"):
        run("fit", cut)
    run("fit", {**config, "ckpt_path": "last"})
    resumed = read_tensors(tmp_path / "cut" / "result")
    assert all(torch.equal(resumed[name], tensor) for name, tensor in expected.items())

    options = {**whole["module"]["decoder"], "weights": str(tmp_path / "whole" / "result")}
    decoder = build_named("decoder", options, where="decoder")
    decoder.load_weights()
    condition = Condition(torch.zeros(2, 1, 8), torch.rand(2, 3, 8, 8))
    first, second = decoder.generate(condition, seeds=[0, 0])
    assert not torch.equal(first.tensor(), second.tensor())
