"""Pins, documents and the check script agree with pyproject.toml."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess

import pytest
from tests.packaging.conftest import PROJECT, ROOT

packaging = pytest.importorskip("packaging.requirements")
specifiers = pytest.importorskip("packaging.specifiers")
UNPINNED = ("lmms-eval",)  # asks for an older av than is pinned


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def requirements() -> list[packaging.Requirement]:
    project = PROJECT["project"]
    lines = [*project["dependencies"], *PROJECT["build-system"]["requires"]]
    lines += [
        line for extra, more in project["optional-dependencies"].items() if extra not in UNPINNED for line in more
    ]
    return [packaging.Requirement(line) for line in lines if not line.startswith(project["name"])]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_pin_lies_in_the_declared_range(requirement: packaging.Requirement) -> None:
    version = pins()[re.sub(r"[-_.]+", "-", requirement.name).lower()]
    assert requirement.specifier.contains(version)


def test_pins_install_on_every_python_that_the_project_promises() -> None:
    """Also on 3.11.2, which Debian 12 has: a tool for the documentation asked for 3.11.5."""
    first = min(spec.version for spec in specifiers.SpecifierSet(PROJECT["project"]["requires-python"])) + ".0"
    refusing = {}
    for name in pins():
        try:
            wanted = importlib.metadata.metadata(name)["Requires-Python"]
        except importlib.metadata.PackageNotFoundError:  # of an extra that is not installed here
            continue
        if wanted and not specifiers.SpecifierSet(wanted).contains(first):
            refusing[name] = wanted
    assert not refusing


def test_every_dependency_is_imported() -> None:
    """By the project itself, but for two that Lightning imports where they are there."""
    called = {"pillow": "PIL", "pyyaml": "yaml"}
    source = "\n".join(p.read_text(encoding="utf-8") for top in ("core", "plugins") for p in (ROOT / top).rglob("*.py"))
    names = [packaging.Requirement(line).name for line in PROJECT["project"]["dependencies"]]
    unused = [n for n in names if not re.search(rf"^\s*(?:import|from) {called.get(n, n)}\b", source, re.MULTILINE)]
    assert unused == ["tensorboard", "rich"]
    from lightning.pytorch import Trainer
    from lightning.pytorch.callbacks import RichModelSummary, RichProgressBar

    trainer = Trainer(logger=False, enable_checkpointing=False)
    kinds = [type(callback) for callback in trainer.callbacks]  # type: ignore[attr-defined]
    assert {RichProgressBar, RichModelSummary} <= set(kinds)


def test_pins_are_exact_and_sorted() -> None:
    names = list(pins())
    assert names == sorted(names)
    assert all(re.fullmatch(r"[0-9][\w.]*", version) for version in pins().values())


def test_check_script_is_valid_and_uses_the_readme_command() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)
    command = 'pip install -c constraints.txt -e ".[dev]"'
    assert command in script.read_text(encoding="utf-8")
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")


def test_licence_text_is_complete() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_changelog_has_a_section_for_this_version_or_unreleased() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in text or f"## [{PROJECT['project']['version']}]" in text


READERS = {"core/anyloom/storage/json_text.py", "plugins/models/anyloom_mini/demo/run_state.py"}
"""Where ``json.loads`` stands in a ``try``: ten thousand brackets raise RecursionError, which is no ValueError."""


def test_json_that_may_be_wrong_is_read_in_one_place_where_it_may_also_be_too_deep() -> None:
    found, forgetful = set(), []
    for path in (p for top in ("core", "plugins") for p in (ROOT / top).rglob("*.py")):
        for block in (n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Try)):
            reads = any(ast.unparse(n).startswith("json.loads(") for part in block.body for n in ast.walk(part))
            caught = {
                word for h in block.handlers for word in re.findall(r"\w+", ast.unparse(h.type) if h.type else "")
            }
            if reads and caught & {"ValueError", "JSONDecodeError", "RecursionError", "KeyError", "TypeError"}:
                found.add(str(path.relative_to(ROOT)))
                if not caught & {"RecursionError", "Exception"}:
                    forgetful.append(f"{path.relative_to(ROOT)}:{block.lineno}")
    assert not forgetful
    assert found <= READERS
