"""Runs the fault matrix and writes its table into docs/guide/faults.md, between two marks. Takes some minutes.

python scripts/write_fault_page.py                 every row
python scripts/write_fault_page.py -k disconnect   some rows again: words are passed on to pytest
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "guide" / "faults.md"
MARKS = ("<!-- table -->", "<!-- end of table -->")


@dataclass
class Row:
    """One row with all of its tests."""

    kind: str
    done: str
    promise: str
    results: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def result(self) -> str:
        """The worst of its tests: one that was not tried, or not met, is not hidden by others."""
        for result in ("NOT KEPT", "not met", "not tried"):
            found = [r for r in self.results if r.startswith(result)]
            if found:
                return found[0]
        return "kept"


class Collects:
    """A plugin of pytest that keeps what became of each row."""

    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, None]:
        """Keep it."""
        report = (yield).get_result()
        mark = item.get_closest_marker("row")
        if mark is None:
            return
        number = mark.kwargs["number"]
        row = self.rows.setdefault(number, Row(mark.kwargs["kind"], mark.kwargs["done"], mark.kwargs["promise"]))
        row.seconds += report.duration
        if report.skipped:
            reason = getattr(report, "wasxfail", "") or str(report.longrepr[2]).removeprefix("Skipped: ")
            row.results.append(f"{'not met' if hasattr(report, 'wasxfail') else 'not tried'}: {reason}")
        elif report.failed:
            row.results.append("NOT KEPT")


def written(text: str) -> dict[int, Row]:
    """The rows of a table that was written before."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[0].isdecimal():
            result = [] if cells[4] == "kept" else [cells[4]]
            found[int(cells[0])] = Row(*cells[1:4], result, float(cells[5]))
    return found


def table(rows: dict[int, Row]) -> str:
    """The rows in order, as Markdown."""
    lines = ["| row | kind | what is done | promise | result | s |", "|---|---|---|---|---|---|"]
    for number, row in sorted(rows.items()):
        cells = (row.kind, row.done, row.promise, row.result)
        lines.append(f"| {number} | {' | '.join(c.replace('|', '/') for c in cells)} | {row.seconds:.1f} |")
    kept = sum(row.result == "kept" for row in rows.values())
    seconds = sum(row.seconds for row in rows.values())
    return "\n".join([*lines, "", f"{kept} of {len(rows)} rows are kept; the run took {seconds:.0f} s."])


def main() -> int:
    """Run and write; the status is pytest's."""
    os.chdir(ROOT)
    collects = Collects()
    words = sys.argv[1:]
    fixed = ["tests/faults", "tests/plugins/apps", "-q", "-n", "0", "-m", "row", "-p", "no:cacheprovider"]
    status = pytest.main([*fixed, *words], plugins=[collects])
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    found, _, after = rest.partition(MARKS[1])
    rows = {**(written(found) if words else {}), **collects.rows}
    PAGE.write_text(f"{before}{MARKS[0]}\n\n{table(rows)}\n\n{MARKS[1]}{after}", encoding="utf-8")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
