"""Which plugins are installed: entry points as they stand on disk. Nothing of a plugin is imported here.

``importlib.metadata`` parses a whole METADATA for the name and again for the version, raises for one that is damaged,
and passes over one that another of the same name hides. Here the first lines are read once, or the folder's name,
``name-1.0.dist-info``; what is damaged or hidden is found all the same, with its reason.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from anyloom.discovery.hooks import GROUP

__all__ = ["Found", "find_plugins"]

_FOLDER: Final = re.compile(r"(?P<name>.+?)(-(?P<version>[^-]+))?(-py[\d.]+)?\.(dist|egg)-info", re.IGNORECASE)
_VALUE: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\s*:\s*[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?\s*(\[.*\])?")
_FIELD: Final = re.compile(r"^(?P<key>Name|Version):[ \t]*(?P<value>\S+)", re.MULTILINE)
_HEAD: Final = 2048
_UNKNOWN: Final = "?"


@dataclass(frozen=True)
class Found:
    """One entry point of the group ``anyloom``.

    Args:
        name: Its name.
        value: ``package.module`` or ``package.module:attribute``.
        package: Distribution that declares it.
        version: Version of that distribution; ``?`` if it is not known.
        problem: Why it cannot be loaded; empty if it can be tried.
        hidden: Whether another installation of the same distribution comes first on the path.

    >>> found = Found("mine", "anyloom_mine.plugin", "anyloom-mine", "1.0")
    >>> found.module
    'anyloom_mine.plugin'
    """

    name: str
    value: str
    package: str
    version: str
    problem: str = ""
    hidden: bool = False

    @property
    def module(self) -> str:
        """The module behind it."""
        return self.value.partition("[")[0].partition(":")[0].strip()

    @property
    def attribute(self) -> str:
        """What the module has under the colon, if it has one; without an extra."""
        return self.value.partition("[")[0].partition(":")[2].strip()


def find_plugins() -> list[Found]:
    """Return the entry points of all installed distributions, the core's own first, then by name.

    >>> find_plugins()[0].name
    'anyloom'
    """
    found: list[Found] = []
    first: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        text, problem = _entry_points(distribution)
        if GROUP not in text:
            continue
        points = list(_points(text))
        if not points:
            continue
        package, version = _identity(distribution)
        key = re.sub(r"[-_.]+", "-", package).lower()
        hidden = key in first
        earlier = first.setdefault(key, version)
        if hidden and earlier == version:  # one installation seen twice, as layered environments do
            continue
        if hidden:
            problem = f"another installation of {package}, version {earlier}, comes first on the path"
        for name, value in points:
            wrong = "" if _VALUE.fullmatch(value) else f"its entry point {value!r} is not 'package.module'"
            found.append(Found(name, value, package, version, problem or wrong, hidden))
    return sorted(found, key=lambda f: (f.name != GROUP, f.name, f.hidden, f.package))


def _entry_points(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    """The text of ``entry_points.txt``, and what is wrong with the file."""
    path: Any = getattr(distribution, "_path", None)
    if type(distribution).read_text is importlib.metadata.PathDistribution.read_text:  # slow, and for UTF-8 only
        content = _content(path, "entry_points.txt") or b""
        if GROUP.encode() not in content:
            return "", ""
        try:
            return content.decode(), ""
        except UnicodeDecodeError:
            return content.decode(errors="backslashreplace"), "its entry_points.txt is not UTF-8"
    try:
        return distribution.read_text("entry_points.txt") or "", ""
    except Exception as error:  # of a finder that is not the standard one
        return "", f"{type(error).__name__}: {error}"


def _content(path: Any, name: str, size: int = -1) -> bytes | None:
    """What a file of an installation begins with; None if there is no such file, or it cannot be read."""
    try:
        opened = open if isinstance(path, Path) else type(path).open
        where = f"{path}{os.sep}{name}" if isinstance(path, Path) else path.joinpath(name)
        with opened(where, "rb") as stream:
            content: bytes = stream.read(size)
            return content
    except (AttributeError, OSError, KeyError):
        return None


def _points(text: str) -> Iterator[tuple[str, str]]:
    """Names and values of the group's entry points."""
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif section == GROUP and line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()


def _identity(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    """Name and version: from the first lines of METADATA, else from the folder's name."""
    path: Any = getattr(distribution, "_path", None)
    fields: dict[str, str] = {}
    for file in ("METADATA", "PKG-INFO"):
        if (content := _content(path, file, _HEAD)) is not None:
            head = content.decode(errors="replace").replace("\r\n", "\n")
            fields = {found["key"]: found["value"] for found in _FIELD.finditer(head.partition("\n\n")[0])}
            break
    folder = _FOLDER.fullmatch(getattr(path, "name", ""))
    named = (folder["name"].replace("_", "-"), folder["version"]) if folder else ("", "")
    return fields.get("Name") or named[0] or _UNKNOWN, fields.get("Version") or named[1] or _UNKNOWN
