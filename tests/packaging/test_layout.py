"""The checkout: what lies where, and that the lists in pyproject.toml agree with it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.packaging.conftest import PACKAGES, PROJECT, ROOT, SOURCE_ROOTS

import anyloom
from anyloom.discovery import get_registry

PLUGINS = [p.name for p in PACKAGES if p.name != "anyloom"]


def test_every_folder_of_plugins_is_a_source_root() -> None:
    folders = {p for p in (ROOT / "plugins").iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders <= set(SOURCE_ROOTS)


@pytest.mark.parametrize("root", [r for r in SOURCE_ROOTS if r.is_dir()], ids=lambda p: p.name)
def test_source_root_holds_packages_and_nothing_else(root: Path) -> None:
    strays = [p.name for p in root.iterdir() if not (p / "__init__.py").is_file() and p.name != "__pycache__"]
    assert not strays, f"{strays} would be importable at top level or end up in site-packages"


@pytest.mark.parametrize("folder", ["core", "plugins", *(r.relative_to(ROOT).as_posix() for r in SOURCE_ROOTS)])
def test_source_root_is_no_package_itself(folder: str) -> None:
    assert not (ROOT / folder / "__init__.py").exists()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_package_is_typed(package: Path) -> None:
    assert (package / "py.typed").is_file()


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_folders_of_modules_are_packages(package: Path) -> None:
    folders = {module.parent for module in package.rglob("*.py")}
    assert [f for f in folders if not (f / "__init__.py").is_file()] == []


def test_entry_points_are_the_plugin_modules() -> None:
    declared = PROJECT["project"]["entry-points"]["anyloom"]
    present = {p.name: f"{p.name}.plugin" for p in PACKAGES if (p / "plugin.py").is_file()}
    assert declared == present
    assert set(present) == {p.name for p in PACKAGES}, "every package has a plugin.py"


def test_import_contracts_cover_every_package() -> None:
    table = PROJECT["tool"]["importlinter"]
    core, siblings, light, rooms = table["contracts"]
    assert set(table["root_packages"]) == {"anyloom", *PLUGINS}
    assert set(core["forbidden_modules"]) == set(siblings["modules"]) == set(PLUGINS)
    assert {f"{name}.plugin" for name in ["anyloom", *PLUGINS]} <= set(light["source_modules"])
    floors = {room for floor in rooms["layers"] for room in floor.split(" | ")}
    found = {
        p.stem for p in (ROOT / "core" / "anyloom").iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()
    }
    assert floors == {f"anyloom.{name}" for name in found - {"__init__", "plugin"}}


def test_type_checks_cover_every_source_root() -> None:
    roots = {r.relative_to(ROOT).as_posix() for r in SOURCE_ROOTS}
    assert set(PROJECT["tool"]["mypy"]["mypy_path"].split(":")) == roots


def test_version_is_the_same_everywhere() -> None:
    assert PROJECT["project"]["version"] == anyloom.__version__


def test_every_plugin_of_the_checkout_loads() -> None:
    states = {p.name: p.cause or p.status for p in get_registry().plugins if p.name in ("anyloom", *PLUGINS)}
    assert states == dict.fromkeys(["anyloom", *PLUGINS], "ok")


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_plugin_module_imports_nothing_heavy(package: Path) -> None:
    heavy = "torch transformers diffusers lightning numpy pydantic soundfile PIL av"
    code = f"import sys, {package.name}.plugin; print([m for m in '{heavy}'.split() if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"


def words(text: str) -> set[str]:
    """Words of source code, lower case, plurals also as singulars; names are split at underscores and capitals.

    >>> sorted(words("read_images(HTMLPage)"))
    ['html', 'image', 'images', 'page', 'read']
    """
    found = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", text)
    return {w for word in found for w in (word.lower(), word.lower().removesuffix("s"))} - {""}


@pytest.mark.parametrize("path", sorted((ROOT / "core").rglob("*.py")), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_core_names_no_modality_and_no_plugin(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    modalities = {name for s in get_registry().components("modality") for name in (s.name, *s.modalities)} - {"text"}
    named = sorted(modalities & words(text))
    named += [plugin for plugin in PLUGINS if re.search(rf"\b{plugin}\b", text) or plugin.replace("_", "-") in text]
    assert not named, f"the core must not know {', '.join(named)}: let the component say it, or pass it as a value"
