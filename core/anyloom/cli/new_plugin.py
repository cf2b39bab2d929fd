"""``anyloom plugins new``: writes the start of a plugin package, which installs, passes its tests and trains."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from anyloom.scaffold import KINDS, check_free, plugin_names, render, write_project

__all__ = ["main"]

_NEXT = """
It works as it is. Change it into yours:
  cd {folder}
  pip install -e ".[test]"
  anyloom plugins --kind {kind}      # lists it
  pytest                        # its tests, with all checks that anyloom has for it
"""
_TRAIN = """\
  anyloom check train.yaml      # does it fit the other parts?
  anyloom fit train.yaml        # trains a few steps
"""
_ANSWER = """\
  anyloom baseline {name} --suite suite.yaml --output answers   # answers a few questions
"""


def main(args: Sequence[str]) -> int:
    """Run ``anyloom plugins new`` with the words after it."""
    parser = argparse.ArgumentParser(
        prog="anyloom plugins new",
        description="Write the start of a plugin: a project that works, with comments where it is to be changed.",
    )
    parser.add_argument("kind", metavar="KIND", help=f"what it provides: {', '.join(KINDS)}")
    parser.add_argument("name", metavar="NAME", help="its name in configs, such as mean-colour")
    parser.add_argument("--folder", type=Path, help="a new folder for the project; default: anyloom-NAME")
    options = parser.parse_args(list(args))
    names = plugin_names(options.kind, options.name)
    check_free(names)
    folder = options.folder or Path(names.distribution)
    files = render(names)
    write_project(files, folder)
    print("\n".join(["wrote", *(f"  {folder / name}" for name in files)]))
    more = _TRAIN if names.trains else _ANSWER
    print((_NEXT + more).format(folder=shlex.quote(str(folder)), kind=names.kind, name=names.name), end="")
    return 0
