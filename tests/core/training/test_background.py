"""Checkpoints in shards that are written in the background: what was true when they were asked for, in order."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom.errors import CheckpointError
from anyloom.training import background
from anyloom.training.background import BackgroundShards
from anyloom.training.checkpoint_files import CheckpointFiles, verify_checkpoint


def content(weight: torch.Tensor, step: int, **moments: torch.Tensor) -> dict[str, Any]:
    state = {"w": {"step": torch.tensor(float(step)), **moments}} if moments else {}
    return {
        "state_dict": {"w": weight},
        "optimizer_states": [{"state": state, "param_groups": [{"params": ["w"]}]}],
        "loops": {"step": [step]},
        "pytorch-lightning_version": "2.0",
    }


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Writing begins when the event is set."""
    may_write, save = threading.Event(), background.save_shards

    def later(*args: Any, **named: Any) -> None:
        assert may_write.wait(60)
        save(*args, **named)

    monkeypatch.setattr(background, "save_shards", later)
    return may_write


def test_what_training_changes_meanwhile_is_not_written(tmp_path: Path, held: threading.Event) -> None:
    shards, path = BackgroundShards(), tmp_path / "last.ckpt"
    weight, moment = torch.zeros(3, 2), torch.zeros(3, 2)
    made = content(weight, 0)
    for step in range(4):
        shards.save(made, path)  # the first has no moments yet
        assert not held.is_set() or step
        weight += 1
        moment += 10
        made["loops"]["step"].append(99)
        held.set()
        shards.wait()
        found = CheckpointFiles().load_checkpoint(path)
        assert found["state_dict"]["w"].tolist() == [[step] * 2] * 3
        assert found["loops"]["step"] == [step]
        if step:
            kept = found["optimizer_states"][0]["state"]["w"]
            assert kept["exp_avg"].tolist() == [[10.0 * step] * 2] * 3
            assert float(kept["step"]) == step
        made = content(weight, step + 1, exp_avg=moment)
    shards.close()


def test_the_checkpoint_before_is_deleted_when_the_new_one_is_there(tmp_path: Path, held: threading.Event) -> None:
    shards, old, new = BackgroundShards(), tmp_path / "1.ckpt", tmp_path / "2.ckpt"
    held.set()
    shards.save(content(torch.ones(2), 1), old)
    shards.wait()
    held.clear()
    shards.save(content(torch.ones(2), 2), new)
    shards.after(lambda: CheckpointFiles().remove_checkpoint(old))
    verify_checkpoint(old)
    assert not new.exists()
    held.set()
    shards.close()
    verify_checkpoint(new)
    assert not old.exists()


def test_what_could_not_be_written_is_said_at_the_next_one(tmp_path: Path) -> None:
    shards, place = BackgroundShards(), tmp_path / "a file"
    place.write_text("mine")
    shards.save(content(torch.ones(2), 1), place)
    with pytest.raises(CheckpointError, match="a file"):
        shards.save(content(torch.ones(2), 2), tmp_path / "2.ckpt")
    shards.save(content(torch.ones(2), 3), tmp_path / "3.ckpt")
    shards.close()
    verify_checkpoint(tmp_path / "3.ckpt")
    assert place.read_text() == "mine"
