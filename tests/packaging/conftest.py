"""The checkout, and what it is built into and installed as."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SOURCE_ROOTS = [ROOT / source for source in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["sources"]]
PACKAGES = [
    p for root in SOURCE_ROOTS if root.is_dir() for p in sorted(root.iterdir()) if (p / "__init__.py").is_file()
]


def source_files() -> dict[str, Path]:
    """Every file of the packages by the path it must have once installed."""
    found = {}
    for package in PACKAGES:
        for path in package.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found[path.relative_to(package.parent).as_posix()] = path
    return found


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the sdist of the checkout and the wheel that is made from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


@pytest.fixture(scope="session")
def wheel(built: Path) -> Path:
    """The wheel."""
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder into which the wheel is installed, outside the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", "--target", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, str(wheel)], check=True, timeout=300)
    return folder


@pytest.fixture(scope="session")
def elsewhere(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Arguments for ``subprocess.run`` with the installed wheel first on the path and an empty working folder."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    folder = tmp_path_factory.mktemp("elsewhere")
    return {"env": environment, "cwd": folder, "capture_output": True, "text": True, "check": False, "timeout": 300}
