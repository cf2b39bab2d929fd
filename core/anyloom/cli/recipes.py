"""``anyloom recipes``: which recipes are installed, what they do, and the command that runs each.

``--json`` prints one object; its keys stay, new ones may join them::

    {"recipes": [{"name", "package", "file", "summary", "stages": [...], "command", "weights", "problem"}, ...]}

``weights`` is the folder of the saved model that ships with a recipe, empty if there is none. ``problem`` says why a
recipe cannot be used as it is, empty if it can.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from anyloom.cli.model_argument import shipped_weights
from anyloom.config.compose import compose
from anyloom.config.packages import recipe_path
from anyloom.discovery import RecipeSpec, get_registry
from anyloom.errors import AnyloomError

__all__ = ["RecipeRow", "main", "recipe_rows"]

_PIPED_WIDTH = 100


@dataclass(frozen=True)
class RecipeRow:
    """What the listing says of a recipe; see the module's docstring."""

    name: str
    package: str
    file: str
    summary: str
    stages: tuple[str, ...]
    command: str
    weights: str
    problem: str


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom recipes`` with the words after it."""
    parser = argparse.ArgumentParser(prog="anyloom recipes", description="List the recipes of all plugins.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(list(arguments))
    rows = recipe_rows()
    if options.json:
        print(json.dumps({"recipes": [asdict(row) for row in rows]}, indent=2))
        return 0
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPED_WIDTH
    print("\n\n".join(_text(row, width) for row in rows) or "no recipes are installed")
    return 0


def recipe_rows() -> list[RecipeRow]:
    """The recipes of all plugins, in the order in which the plugins give them.

    >>> "mini" in [row.name for row in recipe_rows()]
    True
    """
    return [_row(name, spec) for name, spec in get_registry().recipes.items()]


def _row(name: str, spec: RecipeSpec) -> RecipeRow:
    file, stages, problem = "", (), ""
    try:
        file = str(recipe_path(name))
        stages = tuple(compose([name]).get("stages") or {})
    except AnyloomError as error:  # a recipe that lacks something is still listed
        problem = str(error)
    command = spec.command or f"anyloom fit {name}" + (" --stage all" if stages else "")
    weights = shipped_weights(name)
    return RecipeRow(name, spec.package, file, spec.summary, stages, command, str(weights or ""), problem)


def _text(row: RecipeRow, width: int) -> str:
    facts = {
        "": row.summary,
        "stages": ", ".join(row.stages),
        "run": row.command,
        "weights": row.weights,
        "problem": row.problem,
    }
    lines = [f"{row.name} ({row.package})"]
    for key, fact in facts.items():
        if fact:
            start = f"  {key + ': ' if key else ''}"
            lines += textwrap.wrap(fact, width, initial_indent=start, subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines)
