"""What ``anyloom plugins new`` writes installs, is listed, passes its own tests and trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from anyloom.cli.main import main
from anyloom.discovery import KINDS as COMPONENT_KINDS
from anyloom.errors import ConfigError
from anyloom.scaffold import KINDS, plugin_names, render
from fresh_environment import FreshEnvironment

ROOT = Path(__file__).resolve().parents[2]


def name_of(kind: str) -> str:
    return f"own-{kind}"


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A new project of each kind."""
    root = tmp_path_factory.mktemp("projects")
    folders = {kind: root / kind for kind in KINDS}
    for kind, folder in folders.items():
        assert main(["plugins", "new", kind, name_of(kind), "--folder", str(folder)]) == 0
    return folders


@pytest.fixture(scope="module")
def environment(projects: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    """An environment with all of them installed."""
    made = FreshEnvironment(tmp_path_factory.mktemp("environment") / "venv")
    made.install(*projects.values())
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_project_is_complete_and_clean(projects: dict[str, Path], kind: str) -> None:
    folder, package = projects[kind], f"anyloom_own_{kind}"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == f"anyloom-own-{kind}"
    assert project["entry-points"]["anyloom"] == {package: f"{package}.plugin"}
    assert yaml.safe_load((folder / ".github/workflows/test.yml").read_text())["jobs"]["test"]["steps"]
    example = "suite.yaml" if kind == "baseline" else "train.yaml"
    assert {p.name for p in folder.iterdir()} >= {"README.md", example, ".gitignore", "tests", "src"}
    texts = {p: p.read_text() for p in folder.rglob("*") if p.is_file()}
    assert any("CHANGE" in text for p, text in texts.items() if p.suffix == ".py")
    assert [p for p, text in texts.items() if "$name" in text or "$package" in text or "${Class}" in text] == []
    for command in ("check", "format --check"):
        ruff = [sys.executable, "-m", "ruff", *command.split(), "--no-cache", "--quiet", "."]
        done = subprocess.run(ruff, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_types_are_strict(projects: dict[str, Path]) -> None:
    """With the framework's own options, which are strict; what mypy knows of the framework is taken from its cache."""
    sources = [str(folder / "src") for folder in projects.values()]
    checked = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"), *sources]
    paths = {**os.environ, "MYPYPATH": os.pathsep.join(sources)}
    done = subprocess.run(checked, cwd=ROOT, env=paths, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_template_for_every_kind_that_users_name() -> None:
    beyond = {"module"}  # a LightningModule: its author starts from Lightning's own pages
    assert set(KINDS) == set(COMPONENT_KINDS) - beyond


@pytest.mark.slow
def test_all_are_listed_and_usable(environment: FreshEnvironment, tmp_path: Path) -> None:
    value = json.loads(environment.anyloom("plugins", "--json", folder=tmp_path))
    listed = {(c["kind"], c["name"]): c for c in value["components"]}
    for kind in KINDS:
        for provided in plugin_names(kind, name_of(kind)).provides:
            record = listed[provided, name_of(kind)]
            assert (record["package"], record["version"], record["status"]) == (f"anyloom-own-{kind}", "0.1.0", "ok")
    assert {p["name"]: p["status"] for p in value["plugins"] if "_own_" in p["name"]} == {
        f"anyloom_own_{kind}": "ok" for kind in KINDS
    }


@pytest.mark.slow
def test_own_tests_pass_and_the_examples_train(projects: dict[str, Path], environment: FreshEnvironment) -> None:
    """One as its author runs them, in its folder; the others in one process, which imports torch once."""
    options = ("-v", "-p", "no:cacheprovider")
    printed = environment.run("pytest", *options, folder=projects["encoder"])
    others = ["--import-mode=importlib", *(str(projects[kind] / "tests") for kind in KINDS if kind != "encoder")]
    printed += environment.run(
        "pytest", *options, "--import-mode=importlib", *others, folder=projects["encoder"].parent
    )
    assert "FAILED" not in printed
    for folder in projects.values():
        for file in (folder / "tests").glob("test_*.py"):
            assert any(file.name in line and " PASSED" in line for line in printed.splitlines()), file


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("encoder", "3d"), "NAME: '3d' gives no package or class name"),
        (("encoder", "Mean-Colour"), "letters and digits"),
        (("encoder", "a--b"), "letters and digits"),
        (("encoder", "../up"), "letters and digits"),
        (("encoder", ""), "letters and digits"),
        (("encoder", "anyloom-mean"), "leave it out: mean"),
        (("encodr", "mean"), "did you mean 'encoder'?"),
        (("module", "mean"), "there is no template for a 'module'"),
        (("projector", "mlp"), "the projector 'mlp' exists: anyloom 0.1.0 provides it"),
        (("modality", "conv"), "the encoder 'conv' exists"),
        (("metric", "llama"), "a package anyloom_llama is installed"),
    ],
)
def test_wrong_words_are_one_line_and_write_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert main(["plugins", "new", *words, "--folder", str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_what_is_there_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    assert main(["plugins", "new", "encoder", "mean", "--folder", str(tmp_path)]) == 2
    assert f"{tmp_path}: there is something here already" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    assert main(["plugins", "new", "encoder", "mean", "--folder", str(tmp_path / "mine.txt")]) == 2
    assert main(["plugins", "new", "encoder", "mean", "--folder", str(tmp_path / "mine.txt" / "new")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_default_folder_is_the_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plugins", "new", "metric", "word_count"]) == 0
    assert (tmp_path / "anyloom-word-count" / "src" / "anyloom_word_count" / "metric.py").is_file()
    assert "cd anyloom-word-count" in capsys.readouterr().out


def test_names_are_valid_identifiers() -> None:
    names = plugin_names("dataset", "a-b2-c")
    assert (names.package.isidentifier(), names.class_name) == (True, "AB2C")
    with pytest.raises(ConfigError):
        plugin_names("dataset", "a b")


def test_rendering_is_the_same_each_time() -> None:
    names = plugin_names("modality", "own-modality")
    assert render(names) == render(names)
