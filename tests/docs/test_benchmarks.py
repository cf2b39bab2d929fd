"""The benchmarks run, and write the rows that the page is made of."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_written_from_the_kept_rows() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "write_benchmark_page.py"))
    kept = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8") == script["page"](kept)
    assert {row["command"].split()[1] for row in kept["rows"]} == {"benchmarks/run.py"}


@pytest.mark.slow
def test_every_benchmark_runs_and_says_whether_its_goal_is_met(tmp_path: Path) -> None:
    # but for starting up, which tests of the command line measure in their own way
    only = [
        w
        for name in ("tokens", "loop", "generation", "serving", "decoding", "caching", "data_path", "saving")
        for w in ("--only", name)
    ]
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), "--quick", *only]
    command += ["--json", str(tmp_path / "rows.json")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert len(rows) >= 12
    for row in rows:
        assert row["ratio"] > 0
        if row["goal"] is None:
            assert row["met"] is None
            continue
        assert row["met"] == (row["ratio"] >= row["goal"] if row["better"] == "higher" else row["ratio"] <= row["goal"])
        module = row["command"].split("--only ")[1].split()[0]
        assert (ROOT / "benchmarks" / f"{module}.py").is_file()
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert all(f"| {row['name']} |" in page for row in rows), "the page has a line for each"
