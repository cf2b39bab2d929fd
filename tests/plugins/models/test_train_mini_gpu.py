"""The script for one GPU runs on a CPU with small numbers: every stage, the measurement, and again."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from anyloom.config.compose import compose
from anyloom.storage.tensors import read_tensors

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "train_mini_gpu.sh"
STAGES = {"model": "language", "settle": "settled", "further": "further"}


def run(folder: Path) -> str:
    small = {"STEPS": "2", "SAMPLES": "100", "QUERIES": "1", "DRAWS": "1", "PYTHON": sys.executable}
    done = subprocess.run(
        [str(SCRIPT), str(folder)],
        env={**os.environ, **small, "CUDA_VISIBLE_DEVICES": ""},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=550,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_every_stage_trains_is_measured_and_not_trained_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder)
    weights = [read_tensors(folder / result / "model.safetensors") for result in STAGES.values()]
    for before, after in itertools.pairwise(weights):
        moved = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
        assert moved == {"llm", "representations"}, "a stage goes on from the one before"
    for stage in STAGES:
        kept = torch.load(folder / "checkpoints" / stage / "last.ckpt", weights_only=True)
        assert kept["global_step"] == 2
    measured = json.loads((folder / "measured.json").read_text())
    assert measured["rows"]["exemplar/k1"]["count"] > 0
    again = run(folder)
    assert [line for line in again.splitlines() if "done before" in line] == [f"{s}: done before" for s in STAGES]


def test_its_steps_are_ten_times_those_of_the_recipe_and_its_time_is_below_ten_minutes() -> None:
    lines = [line.split() for line in SCRIPT.read_text().splitlines() if line.startswith("train ")]
    assert {stage: result for _, _, stage, result, *_ in lines} == STAGES
    for _, recipe, stage, _, steps, *_ in lines:
        assert recipe == "mini-plain"
        assert int(steps) == 10 * compose([recipe], stage=stage)["trainer"]["max_steps"]
    clocks = [[int(part) for part in clock.split(":")] for *_, clock, _, _ in lines]
    assert sum(60 * minutes + seconds for _, _, minutes, seconds in clocks) <= 570
