"""The wheel and the sdist: complete, and nothing astray."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.packaging.conftest import PACKAGES, PROJECT, source_files

from anyloom.discovery import get_registry

STRAYS = re.compile(r"(^|/)(tests?|conftest\.py|README[^/]*|pyproject\.toml|__pycache__)(/|$)")


def test_wheel_holds_packages_at_top_level_and_nothing_else(wheel: Path) -> None:
    top = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {p.name for p in PACKAGES}


def test_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert names == set(source_files())
    assert not [n for n in names if STRAYS.search(n)]


def test_data_files_arrive_unchanged(wheel: Path) -> None:
    data = {name: path for name, path in source_files().items() if path.suffix not in (".py", ".typed")}
    assert any(name.startswith("anyloom_starter/") for name in data), "the starter media ship with the project"
    with zipfile.ZipFile(wheel) as archive:
        changed = [name for name, path in data.items() if archive.read(name) != path.read_bytes()]
    assert changed == []


def test_wheel_declares_licence_commands_and_entry_points(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        texts = {Path(n).name: archive.read(n).decode() for n in archive.namelist() if ".dist-info/" in n}
    assert "License-Expression: Apache-2.0" in texts["METADATA"]
    assert "Apache License" in texts["LICENSE"]
    assert "anyloom" in texts["NOTICE"]
    assert "anyloom = anyloom.cli.main:main" in texts["entry_points.txt"]
    for name, module in PROJECT["project"]["entry-points"]["anyloom"].items():
        assert f"{name} = {module}" in texts["entry_points.txt"]


def test_sdist_holds_what_a_packager_needs(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "NOTICE", "CHANGELOG.md", "constraints.txt"} <= names
    assert "tests/packaging/test_wheel.py" in names
    assert "core/anyloom/py.typed" in names
    assert not [n for n in names if "__pycache__" in n or n.startswith((".git/", "runs/", "dist/"))]


def test_installed_wheel_is_what_runs(installed: Path, elsewhere: dict[str, Any]) -> None:
    code = (
        "import importlib.util, json;"
        f"names = {[p.name for p in PACKAGES]};"
        "print(json.dumps([importlib.util.find_spec(n).origin for n in names]))"
    )
    result = subprocess.run([sys.executable, "-c", code], **elsewhere)
    assert [o for o in json.loads(result.stdout) if not Path(o).is_relative_to(installed)] == []


def test_listing_from_the_wheel(installed: Path, elsewhere: dict[str, Any]) -> None:
    result = subprocess.run([sys.executable, str(installed / "bin" / "anyloom"), "plugins", "--json"], **elsewhere)
    assert result.returncode == 0, result.stderr
    value = json.loads(result.stdout)
    assert {p["name"]: p["status"] for p in value["plugins"]} == dict.fromkeys((p.name for p in PACKAGES), "ok")
    components = {(s.kind, s.name) for s in get_registry().components()}
    assert {(c["kind"], c["name"]) for c in value["components"]} == components


@pytest.mark.parametrize("command", ["", *get_registry().commands])
def test_command_from_the_wheel_explains_itself(installed: Path, elsewhere: dict[str, Any], command: str) -> None:
    script = str(installed / "bin" / "anyloom")
    result = subprocess.run([sys.executable, script, *command.split(), "--help"], **elsewhere)
    assert result.returncode == 0, result.stderr
    assert result.stdout.lower().startswith("usage: anyloom")
    assert "--help" in result.stdout


@pytest.mark.parametrize("name", sorted(get_registry().recipes))
def test_recipe_is_found_in_the_wheel(installed: Path, elsewhere: dict[str, Any], name: str) -> None:
    code = f"from anyloom.config.packages import recipe_path; print(recipe_path({name!r}))"
    result = subprocess.run([sys.executable, "-c", code], **elsewhere)
    path = Path(result.stdout.strip())
    assert path.is_relative_to(installed)
    assert path.is_file()
