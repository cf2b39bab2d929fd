"""A package that brings a modality nobody here has heard of: it trains, answers, is shown and is measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fresh_environment import FreshEnvironment

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "tests" / "fixtures" / "anyloom_pointcloud"
WORDS = re.compile(r"\b(point[\s_-]?clouds?|chamfer|ply)\b", re.IGNORECASE)
SMALL = [  # ten steps of four: every sample is seen, whatever the order
    "variables.run=run",
    "model.encoders.points={points: 32, count: 4, radii: [1.5, 3.0]}",
    "model.decoders.cloud={points: 32, count: 4, radii: 2, width: 16, denoising_steps: 2}",
    "data={batch_size: 4, datasets: {solids: {points: 32, num_samples: 40}}}",
    "trainer={max_steps: 10, val_check_interval: 10, limit_test_batches: 1, log_every_n_steps: 1}",
    "trainer.logger=[{class_path: lightning.pytorch.loggers.CSVLogger, init_args: {save_dir: run, name: csv}}]",
    "trainer.enable_progress_bar=false",
]


@pytest.mark.parametrize("folder", ["core", "plugins"])
def test_nothing_here_knows_of_it(folder: str) -> None:
    files = [p for p in (ROOT / folder).rglob("*") if p.suffix in (".py", ".yaml", ".tmpl", ".md", ".toml")]
    assert len(files) > 30
    named = [f"{p.relative_to(ROOT)}: {found[0]}" for p in files if (found := WORDS.search(p.read_text("utf-8")))]
    assert named == []


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    made = FreshEnvironment(tmp_path_factory.mktemp("environment") / "venv")
    made.install(PROJECT)
    return made


@pytest.mark.slow
def test_it_is_a_distribution_of_its_own(environment: FreshEnvironment, tmp_path: Path) -> None:
    value = json.loads(environment.anyloom("plugins", "--json", folder=tmp_path))
    own = {
        (c["kind"], c["name"], c["version"], c["status"])
        for c in value["components"]
        if "anyloom-pointcloud" in c["package"]
    }
    assert own == {
        ("modality", "pointcloud", "0.3.0", "ok"),
        ("encoder", "fourier-points", "0.3.0", "ok"),
        ("decoder", "point-diffusion", "0.3.0", "ok"),
        ("dataset", "solids", "0.3.0", "ok"),
        ("metric", "chamfer", "0.3.0", "ok"),
    }
    module = environment.code("import anyloom_pointcloud; print(anyloom_pointcloud.__file__)", folder=tmp_path)
    assert not Path(module.strip()).is_relative_to(ROOT)


@pytest.mark.slow
def test_its_own_tests_pass(environment: FreshEnvironment) -> None:
    printed = environment.run("pytest", "-q", "-p", "no:cacheprovider", folder=PROJECT)
    assert "passed" in printed


@pytest.mark.slow
def test_trains_answers_is_shown_and_measured(environment: FreshEnvironment, tmp_path: Path) -> None:
    """Text, pictures and clouds in one conversation, through the commands that users have."""
    (tmp_path / "cube.xyz").write_text("".join(f"{x} {y} {z}\n" for x in (0, 1) for y in (0, 1) for z in (0, 1)))
    words = ("--media", "cube.xyz", "--text", " Make it flat.", "--force", "pointcloud", "--forbid", "image")
    suite = ("--suite", "solids-suite", "--output", "measured")
    few = ("suite.queries=2", "suite.shown=1", "suite.data.datasets.solids.points=32")
    environment.commands(
        ["check", "solids", *SMALL],
        ["fit", "solids", "--stage", "all", *SMALL],
        ["test", "solids", *SMALL],
        ["generate", "run/model", *words, "--max-new-tokens", "2", "--steps", "2", "--output", "answer"],
        ["evaluate", "run/model", *suite, *few],
        folder=tmp_path,
    )
    alone, training, testing = sorted((tmp_path / "run" / "csv").glob("*/metrics.csv"))
    assert "train/loss" in alone.read_text().splitlines()[0].split(",")
    terms = {"text", "feature/image", "feature/pointcloud", "diffusion/pointcloud"}
    assert {f"train/{term}" for term in terms} <= set(training.read_text().splitlines()[0].split(","))
    header, *rows = testing.read_text().splitlines()
    tested = dict(zip(header.split(","), rows[-1].split(",")))
    assert float(tested["test/chamfer/all/distance"]) > 0
    assert float(tested["test/chamfer/edit/distance_copying"]) > 0

    answer = json.loads((tmp_path / "answer" / "conversation.json").read_text())["messages"][-1]["content"]
    (cloud,) = [part for part in answer if part["type"] == "pointcloud"]
    content = (tmp_path / "answer" / cloud["path"]).read_bytes()
    assert content.startswith(b"ply\nformat binary_little_endian 1.0\nelement vertex 32\n")
    assert len(content.partition(b"end_header\n")[2]) == 32 * 3 * 4

    results = json.loads((tmp_path / "measured" / "results.json").read_text())
    assert {n.split("/")[1] for n in results["values"] if n.startswith("chamfer/")} == {
        "all",
        "make",
        "edit",
        "outline",
        "true-features",
    }
    page = (tmp_path / "measured" / "report.html").read_text()
    assert page.count('aria-label="point cloud, 32 points"') >= 8, "clouds of prompts, targets and answers are drawn"
    assert "Chamfer distance" in page
    assert "<script" not in page
