"""``anyloom layouts``: tiny data sets in every published layout."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from anyloom.errors import ConfigError

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Write a few records in each layout into ``FOLDER/<layout>``.

    Args:
        arguments: A folder, and names of layouts; all by default.

    Returns:
        The exit status.

    Raises:
        anyloom.errors.ConfigError: There is no such layout, or a folder of its name is there already.
    """
    from anyloom_corpora.fixtures.layouts import LAYOUTS, write_layout

    parser = argparse.ArgumentParser(
        prog="anyloom layouts", description="Write tiny data sets in the layouts that readers take."
    )
    parser.add_argument("folder", type=Path, help="where to write; a folder for each layout is made in it")
    parser.add_argument("layout", nargs="*", help=f"which: {', '.join(LAYOUTS)}; all by default")
    given = parser.parse_args(arguments)
    names = given.layout or list(LAYOUTS)
    for name in names:
        if name not in LAYOUTS:
            raise ConfigError(f"there is no layout {name!r}", where="layouts", fix=f"use one of {', '.join(LAYOUTS)}")
        if (given.folder / name).exists():
            raise ConfigError("this is there already", where=str(given.folder / name), fix="name another folder")
    for name in names:
        write_layout(name, given.folder / name)
        sys.stdout.write(f"{given.folder / name}\n")
    return 0
