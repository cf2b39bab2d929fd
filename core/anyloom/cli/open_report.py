"""``anyloom open FILE``: shows a report in a browser."""

from __future__ import annotations

import argparse
import os
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from anyloom.errors import ConfigError

__all__ = ["main"]

_PAGES: Final = (".html", ".htm")
_REPORT: Final = "report.html"


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom open`` with the words after it."""
    parser = argparse.ArgumentParser(prog="anyloom open", description="Show a report in a browser.")
    parser.add_argument("file", type=Path, help="a page, or the folder of an evaluation or a demo")
    page = report_page(parser.parse_args(list(arguments)).file)
    address = page.resolve().as_uri()
    try:
        shown = webbrowser.open(address)
    except webbrowser.Error:
        shown = False
    print(f"report: {page}" if shown else f"no browser can be started here; open {address}")
    return 0


def report_page(path: Path) -> Path:
    """Return the page that a path means.

    Raises:
        anyloom.errors.ConfigError: There is none, or it is no page.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "report.html").write_text("<!doctype html>")
    ...     report_page(Path(folder)).name
    'report.html'
    """
    page = path / _REPORT if os.path.isdir(path) else path
    if not os.path.isfile(page):
        raise ConfigError("there is no report here", where=str(page), fix="give report.html or the folder that has it")
    if page.suffix.lower() not in _PAGES:
        raise ConfigError("this is no page", where=str(page), fix=f"give a file that ends in {_PAGES[0]}")
    return page
