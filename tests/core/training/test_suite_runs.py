"""A suite inside a fit: its curve is what `evaluate` gives, and the run does not notice."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from anyloom.cli.main import main
from anyloom.evaluation.results import Results
from anyloom.training.run import run
from parts import image_decoder_options
from projects import sections, write_config

ROOT = Path(__file__).resolve().parents[3]


def project(folder: Path, suites: dict[str, Any] | None, **trainer: Any) -> dict[str, Any]:
    folder.mkdir()
    made = sections(folder, max_steps=4)
    data = {"small": made["data"]["datasets"]["small"]}
    suite = {
        "title": "Small",
        "data": {"datasets": data},
        "metrics": {"feature": {"name": "feature-error"}},
        "shown": 1,
    }
    (folder / "suite.yaml").write_text(yaml.safe_dump({"suite": suite}))
    for options in (suites or {}).values():
        options["suite"] = str(folder / "suite.yaml")
    made["module"]["suites"] = suites or {}
    made["trainer"] |= trainer
    return made


def curves(folder: Path) -> list[dict[str, str]]:
    rows = csv.DictReader(next(folder.glob("run/csv/*/metrics.csv")).read_text().splitlines())
    return [row for row in rows if any(value for key, value in row.items() if key.startswith("suite/"))]


def test_the_last_point_of_the_curve_is_what_evaluate_gives(tmp_path: Path) -> None:
    made = project(tmp_path / "a", {"own": {"every": 2, "queries": 2}})
    run("fit", made)
    rows = curves(tmp_path / "a")
    assert [row["step"] for row in rows] == ["2", "4"]
    names = [key for key in rows[0] if key.startswith("suite/own/") and key.endswith("/error")]
    assert names
    words = ["--suite", str(tmp_path / "a" / "suite.yaml"), "suite.split=val", "--queries", "2", "--trust"]
    out = tmp_path / "out"
    assert main(["evaluate", str(tmp_path / "a" / "result"), *words, "--output", str(out)]) == 0
    evaluated = Results.read(out / "results.json").values
    for name in names:
        assert float(rows[-1][name]) == pytest.approx(evaluated[name.removeprefix("suite/own/")].value, rel=1e-5)
    assert rows[0][names[0]] != rows[1][names[0]]
    page = next((tmp_path / "a").rglob("suites/own/step-0000004/report.html")).read_text()
    assert "Small" in page
    facts = Results.read(next((tmp_path / "a").rglob("step-0000002/results.json"))).facts
    assert (facts["split"], facts["step"]) == ("val", 2)


def test_the_run_does_not_notice(tmp_path: Path) -> None:
    run("fit", project(tmp_path / "with", {"own": {"every": 1}}))
    run("fit", project(tmp_path / "without", None))
    with_, without = (load_file(tmp_path / name / "result" / "model.safetensors") for name in ("with", "without"))
    assert all(torch.equal(tensor, without[name]) for name, tensor in with_.items())


def test_tensorboard_gets_the_curve_and_the_answers(tmp_path: Path) -> None:
    """Read back with TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = {
        "class_path": "lightning.pytorch.loggers.TensorBoardLogger",
        "init_args": {"save_dir": str(tmp_path / "b")},
    }
    made = project(tmp_path / "a", {"own": {"every": 2}}, logger=[board])
    made["model"]["decoders"] = {"brush": image_decoder_options()}
    made["model"]["modalities"]["image"]["decoder"] = "brush"
    run("fit", made)
    events = EventAccumulator(str(next((tmp_path / "b").rglob("events*")).parent)).Reload()
    curve = [tag for tag in events.Tags()["scalars"] if tag.startswith("suite/own/")]
    assert [event.step for event in events.Scalars(curve[0])] == [2, 4]
    pictures = [tag for tag in events.Tags()["images"] if tag.startswith("suite/own/")]
    assert pictures
    assert [event.step for event in events.Images(pictures[0])] == [2, 4]


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    run("fit", project(tmp_path / "one", {"own": {"every": 4}}, max_steps=4))
    two = project(tmp_path / "two", {"own": {"every": 4}}, devices=2, strategy="ddp")
    two["data"]["batch_size"] = 1  # the same steps, cut in two
    write_config(tmp_path, two)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "anyloom.cli.main", "fit", "config.yaml"]
    subprocess.run(command, cwd=tmp_path, env=environment, timeout=240, check=True)
    (one_row,), (two_row,) = curves(tmp_path / "one"), curves(tmp_path / "two")
    for name in (n for n in one_row if n.startswith("suite/")):
        assert float(two_row[name]) == pytest.approx(float(one_row[name]), rel=1e-4), name


def test_a_wrong_suite_is_told_by_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = project(tmp_path / "a", {"own": {"every": 2}})
    made["module"]["suites"]["own"]["suite"] = "in-contxt"
    assert main(["check", write_config(tmp_path, made)]) == 2
    assert "in-context" in capsys.readouterr().out


def test_a_split_without_samples_is_told_before_the_first_step(tmp_path: Path) -> None:
    made = project(tmp_path / "a", {"own": {"every": 2, "split": "nothing"}})
    with pytest.raises(Exception, match="split"):
        run("fit", made)
