"""The script for one GPU runs on a CPU, at tiny sizes, with the same lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def results(folder: Path, *words: str) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--json", str(folder / "gpu.json"), *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found: dict[str, Any] = json.loads((folder / "gpu.json").read_text())
    return found


@pytest.mark.slow
def test_every_part_of_the_gpu_script_runs_at_tiny_sizes(tmp_path: Path) -> None:
    found = results(tmp_path, "--tiny")
    row = found["mixed"]
    assert row["targets"].keys() >= {f"{t}/{m}" for t in ("feature", "diffusion") for m in ("image", "audio", "video")}
    assert row["flops"]["components"].keys() >= {f"model.decoders.{m}" for m in ("image", "audio", "video")}
    assert row["samples"] > 1
    assert all(row["compiled_seconds"] > 0 for row in found["decode"].values() if isinstance(row, dict))
    assert found["gpu_tests"]["status"] == 0
    # two tables of 512 x 32, two layers of four 32 x 32 and three 32 x 64 matrices, five norms; all in two bytes
    numbers = 2 * 512 * 32 + 2 * (4 * 32 * 32 + 3 * 32 * 64) + 5 * 32
    held = found["inference_memory"]["bf16"]["held_bytes"]
    assert 2 * numbers <= held <= 2 * numbers + 1_000, "and the table of rotations"


def test_a_part_that_is_alone_says_how_full_its_row_is(tmp_path: Path) -> None:
    found = results(tmp_path, "--tiny", "--only", "text")
    row = found["text"]
    assert found.keys().isdisjoint({"mixed", "decode"})
    assert row["useful_tokens"] == row["positions"] <= 128
    assert row["mfu_executed"] == 0.0 or row["peak_flops_per_second"] > 0
    assert found["goals"]["met"] is None
