"""Examples in the documentation: Python runs as it stands, configs fit the schema, tutorials do what they say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from anyloom.json_schema import config_schema

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)
SERVER = DOCS / "guide" / "serving.md"  # run with a server, in tests/plugins/apps
OTHERS = DOCS / "guide" / "testing-a-plugin.md"  # its examples are pieces of a project


def blocks(page: Path, language: str) -> list[tuple[str, str]]:
    """Titles and contents of the code blocks of a language."""
    return [(b[1], b[2]) for b in FENCE.findall(page.read_text(encoding="utf-8")) if b[0] == language]


def pages(language: str) -> list[str]:
    names = sorted(p for p in DOCS.rglob("*.md") if "decisions" not in p.parts)
    return [str(p.relative_to(DOCS)) for p in names if blocks(p, language)]


@pytest.mark.parametrize("page", [p for p in pages("python") if DOCS / p not in (OTHERS, SERVER)])
def test_python_examples_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    untitled = [text for title, text in blocks(DOCS / page, "python") if not title]
    code = compile("\n".join(untitled), page, "exec", dont_inherit=True)  # this file's __future__ is not the page's
    exec(code, {"__name__": "example"})


def test_python_examples_of_the_testing_guide_are_valid() -> None:
    for _, text in blocks(OTHERS, "python"):
        compile(text, OTHERS.name, "exec")


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(json.dumps(config_schema())))


@pytest.mark.parametrize("page", pages("yaml"))
def test_configs_fit_the_schema(page: str, validator: Draft202012Validator) -> None:
    for title, text in blocks(DOCS / page, "yaml"):
        config = json.loads(json.dumps(yaml.safe_load(text)))
        own = "histogram" in text or "gesture" in text  # of the tutorials' own plugins
        wrong = [e.json_path for e in validator.iter_errors({"defaults": [], **config})]
        assert wrong == [] or (own and all("model" in path for path in wrong)), (title, wrong)


@pytest.mark.parametrize("page", pages("json"))
def test_json_examples_are_json(page: str) -> None:
    for _, text in blocks(DOCS / page, "json"):
        json.loads(text)


def files_of(page: Path, folder: Path) -> None:
    """Write the blocks that have a title as files of that name."""
    for language in ("toml", "python", "yaml"):
        for title, text in blocks(page, language):
            if title:
                (folder / title).parent.mkdir(parents=True, exist_ok=True)
                (folder / title).write_text(text)


def anyloom(folder: Path, *words: str, expect: int = 0) -> str:
    """Run a command in a folder that holds installed packages too."""
    result = subprocess.run(
        [sys.executable, "-m", "anyloom.cli.main", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == expect, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
def test_the_plugin_tutorial(tmp_path: Path) -> None:
    files_of(DOCS / "tutorials" / "a-plugin.md", tmp_path)
    code = [p for p in tmp_path.rglob("*") if p.suffix in (".toml", ".py") and "tests" not in p.parts]
    assert sum(len([line for line in p.read_text().splitlines() if line.strip()]) for p in code) <= 60
    info = tmp_path / "anyloom_histogram-0.1.0.dist-info"  # what pip install would leave
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: anyloom-histogram\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[anyloom]\nanyloom_histogram = anyloom_histogram.plugin\n")
    (tmp_path / "anyloom_histogram" / "__init__.py").touch()
    assert "histogram" in anyloom(tmp_path, "plugins", "--kind", "encoder")
    assert "histogram-8" in anyloom(tmp_path, "check", "train.yaml")
    anyloom(tmp_path, "fit", "train.yaml")
    assert (tmp_path / "runs" / "model" / "model.safetensors").is_file()
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", "tests"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(tests, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_tutorial_about_swapping(tmp_path: Path) -> None:
    from anyloom.checking.preflight import look_over

    page = DOCS / "tutorials" / "swap-a-part.md"
    files_of(page, tmp_path)
    for name in ("model.yaml", "deeper.yaml", "other-eye.yaml", "queries.yaml"):
        assert look_over([tmp_path / name]).ok, name
    problems = [f"problem: {p}" for p in look_over([tmp_path / "clash.yaml"]).problems]
    assert problems[0] in page.read_text(encoding="utf-8")
    parameters = [look_over([tmp_path / n]).models[""].parts[0].parameters for n in ("model.yaml", "deeper.yaml")]
    assert parameters[0] < parameters[1]
