"""``anyloom plugins freeze`` and ``restore``: which plugins are installed in which versions, kept as a file.

The file is a list of requirements as pip reads it. Only ``name==version`` lines are taken back: no address, no option
and no path of a file that somebody has sent reaches pip.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from anyloom.config.limits import read_limited
from anyloom.discovery import API
from anyloom.discovery.finding import find_plugins
from anyloom.errors import ConfigError, PluginError
from anyloom.storage.atomic import write_text

__all__ = ["freeze", "restore"]

_LINE: Final = re.compile(
    r"(?P<name>[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)"
)


def freeze(args: Sequence[str]) -> int:
    """Run ``anyloom plugins freeze`` with the words after it."""
    parser = argparse.ArgumentParser(prog="anyloom plugins freeze", description="Write the versions of all plugins.")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write it to a file, over one that is there")
    options = parser.parse_args(list(args))
    lines = [f"# plugins of anyloom, plugin api {API}; rebuild them with: anyloom plugins restore FILE"]
    lines += [f"{name}=={version}" for name, version in installed().items()]
    text = "\n".join(lines) + "\n"
    if options.output is None:
        print(text, end="")
    else:
        write_text(options.output, text)
        print(f"plugins: {options.output}")
    return 0


def restore(args: Sequence[str]) -> int:
    """Run ``anyloom plugins restore`` with the words after it; 2 if something differs and is only shown."""
    parser = argparse.ArgumentParser(
        prog="anyloom plugins restore",
        description="Say which plugins differ from a frozen set; with --yes, let pip install that set.",
    )
    parser.add_argument("file", type=Path, help="what 'anyloom plugins freeze' has written")
    parser.add_argument("--yes", action="store_true", help="install what differs")
    parser.add_argument("--find-links", type=Path, metavar="FOLDER", help="take packages from a folder, and only there")
    options = parser.parse_args(list(args))
    wanted, present = read_set(options.file), installed()
    differing = {name: version for name, version in wanted.items() if present.get(name) != version}
    for name, version in differing.items():
        print(f"{name}: {present.get(name, 'not installed')} -> {version}")
    for name in present.keys() - wanted.keys():
        print(f"{name}: {present[name]} is installed and not in the set; it stays")
    if not differing:
        print("all plugins of the set are installed")
        return 0
    places = ["--no-index", "--find-links", str(options.find_links)] if options.find_links else []
    command = ["-m", "pip", "install", *places, *(f"{n}=={v}" for n, v in differing.items())]
    if not options.yes:
        print(f"to install: {shlex.join(['python', *command])}\nor give --yes")
        return 2
    if subprocess.run([sys.executable, *command], check=False).returncode:
        raise PluginError("pip could not install the set", where=str(options.file), fix="see what pip says above")
    return 0


def installed() -> dict[str, str]:
    """Versions of the distributions that provide plugins, by name as package indexes write it.

    >>> "anyloom" in installed()
    True
    """
    found = {_normal(p.package): p.version for p in find_plugins() if not p.hidden and p.version != "?"}
    return dict(sorted(found.items()))


def read_set(file: Path) -> Mapping[str, str]:
    """Read what :func:`freeze` has written.

    Raises:
        anyloom.errors.ConfigError: A line is no ``name==version``.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "plugins.txt").write_text("anyloom-mine==1.0")
    ...     dict(read_set(Path(folder) / "plugins.txt"))
    {'anyloom-mine': '1.0'}
    """
    found: dict[str, str] = {}
    for number, line in enumerate(read_limited(file).splitlines(), start=1):
        text = line.partition("#")[0].strip()
        match = _LINE.fullmatch(text)
        if match:
            found[_normal(match["name"])] = match["version"]
        elif text:
            fix = "write one package a line"
            raise ConfigError(f"{text!r} is not 'name==version'", where=f"{file}:{number}", fix=fix)
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
