"""The recipes for one GPU and for many: checked without their files, and two processes that share a tiny model out."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from anyloom.checking.preflight import look_over
from anyloom.checking.trainer_options import trainer_problems
from anyloom.config.compose import compose

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["codi2-fsdp2", "codi2-qlora-1gpu"])
def test_nothing_but_files_is_missing(recipe: str, tmp_path: Path) -> None:
    found = look_over([recipe], [f"variables.checkpoints={tmp_path}/none", f"variables.data={tmp_path}/none"])
    assert found.problems == []
    assert found.missing
    assert found.held.keys() == {"image-decoder", "audio-decoder", "video-decoder"}


@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is not None, reason="DeepSpeed is installed")
def test_where_deepspeed_is_missing_one_line_says_so() -> None:
    trainer = compose(["codi2-deepspeed"])["trainer"]
    (problem,) = trainer_problems(trainer)
    assert str(problem) == ("trainer.strategy: DeepSpeed is not installed. To fix: install deepspeed, or use fsdp2")
    assert compose(["codi2-deepspeed"], stage="image-decoder")["trainer"]["strategy"] == "ddp"


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_train_the_shared_out_model_and_write_a_whole_one(tmp_path: Path) -> None:
    from scripts.make_tiny_codi2 import write

    write(tmp_path)
    words = ["variables.checkpoints=./checkpoints", "variables.data=./data", "variables.run=./run", "trainer.devices=2"]
    sizes = str(ROOT / "scripts" / "tiny_sizes.yaml")
    command = [sys.executable, "-m", "anyloom.cli.main", "fit", "codi2-fsdp2", sizes, *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / "model" / "config.json").is_file()
    assert "train/diffusion/video" in next((tmp_path / "run" / "log").glob("*/metrics.csv")).read_text()
