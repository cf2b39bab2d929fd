"""docs/guide/data.md lists every reader, task, option, reason and field, and its examples are what tasks make."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest
from tests.plugins.datasets.corpora.rendering import example

from anyloom.discovery import get_registry
from anyloom.errors import Reason
from anyloom_corpora.tasks.catalogue import TASKS

PAGE = (Path(__file__).parents[4] / "docs" / "guide" / "data.md").read_text(encoding="utf-8")
FIRST_CELLS = re.findall(r"^\| (`.+?`) \|", PAGE, re.MULTILINE)
LISTED = {word for cell in FIRST_CELLS for word in re.findall(r"`([^`]+)`", cell)}
ROWS = {
    cells[0].strip("` "): [cell.strip() for cell in cells[1:]]
    for cells in (line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| `"))
}


@pytest.mark.parametrize("name", TASKS)
def test_the_row_of_a_task_is_right(name):
    reads, options, shown = ROWS[name]
    assert re.findall(r"`([\w-]+)`", reads) == list(TASKS[name].fields)
    takes = [o for o in ("shots", "shown", "frames", "most") if o in inspect.signature(TASKS[name].make).parameters]
    assert re.findall(r"`(\w+)`", options) == takes
    assert shown == example(name)


def test_every_reader_and_reason_is_listed():
    readers = {spec.name for spec in get_registry().components("dataset") if spec.plugin == "anyloom_corpora"}
    assert readers - {"tasks"} <= set(ROWS)
    assert set(get_args(Reason)) - {"too long"} <= LISTED


def test_every_field_of_a_task_is_listed():
    assert {field for task in TASKS.values() for field in task.fields} <= LISTED
