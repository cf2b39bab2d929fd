"""Installs small plugin packages into a temporary folder and asks a fresh interpreter about them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HEADER = "from anyloom.discovery import CommandSpec, ComponentSpec, RecipeSpec, hookimpl\n"
Install = Callable[..., None]
Ask = Callable[..., Any]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The folder that plugins are installed into."""
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def install(site: Path) -> Install:
    """Install a package as pip would leave it: the module and a dist-info folder with its entry point."""

    def write(name: str, source: str, *, version: str = "1.0", package: str | None = None, **modules: str) -> None:
        package = package or name.replace("_", "-")
        info = site / f"{package.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[anyloom]\n{name} = {name}.plugin\n")
        (site / name).mkdir()
        for module, text in {"__init__": "", "plugin": HEADER + source, **modules}.items():
            (site / name / f"{module}.py").write_text(text)

    return write


@pytest.fixture
def ask(site: Path, tmp_path: Path) -> Ask:
    """Run code in a fresh interpreter that sees the installed plugins; it prints one JSON value."""

    def run(code: str, **environment: str) -> Any:
        variables = {k: v for k, v in os.environ.items() if k != "ANYLOOM_PLUGINS"}
        variables |= {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", **environment}
        script = tmp_path / "script.py"
        script.write_text(f"import json\nfrom anyloom.discovery import get_registry\n{code}\n")
        result = subprocess.run(
            [sys.executable, str(script)], env=variables, capture_output=True, text=True, check=False, timeout=120
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    return run


PLUGINS = """
print(json.dumps({p.name: [p.status, p.cause, p.package, p.version] for p in get_registry().plugins}))
"""


def component(package: str, kind: str = "encoder", **options: Any) -> str:
    """Source of the plugin anyloom_<package>, which offers one component."""
    arguments = {"kind": kind, "name": package, "target": f"anyloom_{package}.parts:Part", **options}
    call = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return f"@hookimpl\ndef anyloom_components():\n    return [ComponentSpec({call})]\n"


def find(name: str, kind: str = "encoder") -> str:
    """Code that prints the record found under a name, or the error as its class, text and notes."""
    return f"""
from anyloom.errors import AnyloomError
try:
    spec = get_registry().find({kind!r}, {name!r}, where="model.part")
    print(json.dumps([spec.package, spec.version]))
except AnyloomError as error:
    print(json.dumps([type(error).__name__, str(error), getattr(error, "__notes__", [])]))
"""
