"""``anyloom recipes`` in a process of its own, with a third party's recipes beside the project's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PLUGIN = """
from anyloom.discovery import RecipeSpec, hookimpl
@hookimpl
def anyloom_recipes():
    return [
        RecipeSpec(name="stew", package="anyloom_kitchen", path="stew.yaml", summary="slow cooking"),
        RecipeSpec(name="soup", package="anyloom_kitchen", path="soup.yaml", command="anyloom boil", weights="pot"),
        RecipeSpec(name="burnt", package="anyloom_kitchen", path="burnt.yaml"),
    ]
"""


@pytest.fixture
def kitchen(tmp_path: Path) -> Path:
    package = tmp_path / "anyloom_kitchen"
    (package / "pot").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "plugin.py").write_text(PLUGIN)
    (package / "stew.yaml").write_text("stages: {cut: {}, cook: {}}")
    (package / "soup.yaml").write_text("variables: {salt: 1}")
    (package / "burnt.yaml").write_text("a: [")
    (package / "pot" / "config.json").write_text(json.dumps({"format": 1, "model": {}}))
    info = tmp_path / "anyloom_kitchen-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: anyloom-kitchen\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[anyloom]\nanyloom_kitchen = anyloom_kitchen.plugin\n")
    return tmp_path


def ask(code: str, path: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(path)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_recipes_of_all_plugins_are_listed_without_torch(kitchen: Path) -> None:
    code = (
        "import sys; from anyloom.cli.main import main; main(['recipes', '--json']); "
        "assert not {'torch', 'transformers', 'lightning'} & set(sys.modules), 'heavy'"
    )
    rows: dict[str, dict[str, Any]] = {r["name"]: r for r in json.loads(ask(code, kitchen))["recipes"]}
    stew, soup, burnt = rows["stew"], rows["soup"], rows["burnt"]
    assert (stew["summary"], stew["stages"]) == ("slow cooking", ["cut", "cook"])
    assert stew["command"] == "anyloom fit stew --stage all"
    assert (soup["command"], soup["stages"]) == ("anyloom boil", [])
    assert soup["weights"] == str(kitchen / "anyloom_kitchen" / "pot")
    assert stew["weights"] == stew["problem"] == ""
    assert "not valid YAML" in burnt["problem"]
    assert rows["mini"]["stages"]
    assert rows["in-context"]["command"].startswith("anyloom evaluate")


def test_text_form_says_what_to_type(kitchen: Path) -> None:
    said = ask("from anyloom.cli.main import main; main(['recipes'])", kitchen)
    assert "stew (anyloom_kitchen)\n  slow cooking\n  stages: cut, cook\n  run: anyloom fit stew --stage all" in said
