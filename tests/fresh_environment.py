"""A virtual environment that sees this interpreter's packages, into which further distributions are installed."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

__all__ = ["FreshEnvironment"]


class FreshEnvironment:
    """An environment of its own for third-party packages.

    Args:
        folder: A new folder.
    """

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=False)
        self.python = folder / "bin" / "python"
        # --system-site-packages would show the base interpreter's packages, not those of the environment tests run in
        own = folder / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
        parent = sysconfig.get_path("purelib")
        (own / "parent.pth").write_text(f"import site; site.addsitedir({parent!r})\n")

    def install(self, *projects: Path) -> None:
        """Install projects as pip does for a user, but for their dependencies."""
        options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "install", *options, *map(str, projects)]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert result.returncode == 0, result.stdout + result.stderr

    def run(self, *words: str, folder: Path) -> str:
        """Run ``python -m`` with words in a folder; returns what it prints, and fails with it if it fails."""
        return self._run(["-m", *words], folder)

    def anyloom(self, *words: str, folder: Path) -> str:
        """Run the command ``anyloom`` in a folder; returns what it prints."""
        return self.run("anyloom.cli.main", *words, folder=folder)

    def code(self, text: str, *, folder: Path) -> str:
        """Run Python code in a folder; returns what it prints."""
        return self._run(["-c", text], folder)

    def commands(self, *commands: list[str], folder: Path) -> str:
        """Run several commands of ``anyloom`` one after another in one process, which imports torch once."""
        lines = ["import sys", "from anyloom.cli.main import main"]
        lines += [f"if main({words!r}) != 0: sys.exit({' '.join(words)!r})" for words in commands]
        return self.code("\n".join(lines), folder=folder)

    def _run(self, words: list[str], folder: Path) -> str:
        variables = {k: v for k, v in os.environ.items() if k not in ("ANYLOOM_PLUGINS", "PYTHONPATH")}
        variables |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [str(self.python), *words]
        result = subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=1200
        )
        assert result.returncode == 0, f"{' '.join(words)}\n{result.stdout}{result.stderr}"
        return result.stdout
