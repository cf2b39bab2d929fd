"""Renders the templates of a plugin and writes them as a project."""

from __future__ import annotations

import importlib.resources
import os
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Final

from anyloom import __version__
from anyloom.errors import ConfigError
from anyloom.scaffold.names import PluginNames

__all__ = ["render", "write_project"]

_SUFFIX: Final = ".tmpl"
_PLACES: Final = {
    "pyproject.toml": "pyproject.toml",
    "readme.md": "README.md",
    "gitignore": ".gitignore",
    "ci.yml": ".github/workflows/test.yml",
    "py.typed": "src/{package}/py.typed",
    "init.py": "src/{package}/__init__.py",
    "train.yaml": "train.yaml",
    "suite.yaml": "suite.yaml",
    "check_component.py": "tests/test_{stem}.py",
    "check_training.py": "tests/test_{stem}_training.py",
    "check_suite.py": "tests/test_{stem}_suite.py",
}
"""Where a template goes; others that end in ``.py`` go into the package, and the rest into ``data/``."""


def render(names: PluginNames) -> dict[str, str]:
    """Return the files of a new plugin: text by path inside its project.

    >>> files = render(PluginNames("projector", "cut"))
    >>> "pyproject.toml" in files
    True
    """
    values = {
        "name": names.name,
        "package": names.package,
        "distribution": names.distribution,
        "Class": names.class_name,
        "kind": names.kind,
        "anyloom_version": __version__,
    }
    templates = importlib.resources.files("anyloom.scaffold") / "templates"
    files: dict[str, str] = {}
    for folder in ("shared", names.kind):
        for source in (templates / folder).iterdir():
            name = source.name.removesuffix(_SUFFIX)
            if name != source.name and (names.trains or name != "check_training.py"):
                place = _place(name, names)
                files[place] = Template(source.read_text(encoding="utf-8")).substitute(values)
    return dict(sorted(files.items()))


def _place(name: str, names: PluginNames) -> str:
    default = f"src/{names.package}/{name}" if name.endswith(".py") else f"data/{name}"
    return _PLACES.get(name, default).format(package=names.package, stem=names.name.replace("-", "_"))


def write_project(files: Mapping[str, str], folder: Path) -> None:
    """Write rendered files into a new folder.

    Args:
        files: Text by path.
        folder: Must not exist, or be empty.

    Raises:
        anyloom.errors.ConfigError: There is something in the folder, or it cannot be made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_project({"README.md": "Mine."}, Path(folder) / "mine")
    ...     (Path(folder) / "mine" / "README.md").read_text()
    'Mine.'
    """
    if os.path.exists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            "there is something here already, and it is left as it is", where=str(folder), fix="give another --folder"
        )
    try:
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot be written ({error})", where=str(folder), fix="give another --folder") from error
