"""Writes constraints.txt: the exact versions of everything the project and its tools need, as installed here.

Run it with the interpreter of an environment in which all tests pass::

    python scripts/pin_dependencies.py

The pins are a set that was tested together; pyproject.toml holds the ranges that should work. Packages that only
another platform or a GPU build of torch needs are left open: torch pins its own.
"""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
UNPINNED = ("lmms-eval",)
"""Extras that ask for older versions of what others need newer, so that no set of versions holds both."""
HEADER = """\
# Versions that were tested together. Written by scripts/pin_dependencies.py from an environment in which all tests
# pass; do not edit by hand. Use: pip install -c constraints.txt -e ".[dev]"
"""


def wanted() -> list[Requirement]:
    """Return the requirements of the project with all extras that are pinned, and of its build."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = table["project"]
    lines = [*project["dependencies"], *table["build-system"]["requires"]]
    lines += [
        line for extra, more in project["optional-dependencies"].items() if extra not in UNPINNED for line in more
    ]
    return [Requirement(line) for line in lines if canonicalize_name(Requirement(line).name) != project["name"]]


def pins() -> dict[str, str]:
    """Follow the requirements through the installed packages; return versions by name."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    pending = [(r, "") for r in wanted()]
    while pending:
        requirement, extra = pending.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        distribution = importlib.metadata.distribution(name)
        found[name] = Version(distribution.version).public  # a local label such as +cpu belongs to one index only
        for wanted_extra in requirement.extras | {""}:
            if (name, wanted_extra) not in seen:
                seen.add((name, wanted_extra))
                pending += [(Requirement(line), wanted_extra) for line in distribution.requires or ()]
    return dict(sorted(found.items()))


def main() -> None:
    """Write the file."""
    lines = [f"{name}=={version}" for name, version in pins().items()]
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
