"""The documentation is built with what the extra `docs` installs, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
BUILD = """
import sys
hidden = set(sys.argv[1].split(","))

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from mkdocs.__main__ import cli
cli(["build", "--strict", "--quiet", "--site-dir", sys.argv[2]])
"""


def closure(name: str, extras: frozenset[str], seen: set[tuple[str, frozenset[str]]]) -> set[str]:
    """Names of a distribution and of everything that it requires with some extras."""
    key = (str(canonicalize_name(name)), extras)
    if key in seen:
        return set()
    seen.add(key)
    found = {key[0]}
    try:
        requirements = distribution(name).requires or []
    except PackageNotFoundError:
        return set()
    for requirement in map(Requirement, requirements):
        wanted = requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in extras or {""})
        if wanted:
            found |= closure(requirement.name, frozenset(requirement.extras), seen)
    return found


@pytest.mark.slow
def test_the_extra_docs_is_enough(tmp_path: Path) -> None:
    own = closure("anyloom", frozenset({"docs", ""}), set())
    assert {"torch", "mkdocs-material"} <= own
    hidden = [
        package
        for package, names in packages_distributions().items()
        if not any(str(canonicalize_name(n)) in own for n in names) and package not in ("_distutils_hack",)
    ]
    assert "pytest" in hidden, "else nothing is hidden"
    command = [sys.executable, "-c", BUILD, ",".join(hidden), str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "site" / "index.html").is_file()
