"""``anyloom score``: scores the outputs of any program by a suite; no model is needed.

Writes what ``anyloom evaluate`` writes. ``results.json`` has beside it ``paired`` and, by name, what did not pair:
``questions without an output``, ``questions with fewer outputs``, ``outputs of no question``, ``outputs beyond those
asked for``, ``unreadable`` and ``ignored files``; and the metrics that were ``left out``.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from anyloom.cli.arguments import Sources, require_sections
from anyloom.cli.console import Progress
from anyloom.cli.evaluate import print_results, write_results
from anyloom.cli.outputs import own_folder
from anyloom.errors import ConfigError

__all__ = ["main"]

_LISTED: Final = 5
_TOLD: Final = (
    "questions without an output",
    "questions with fewer outputs",
    "outputs of no question",
    "outputs called like several questions",
    "outputs beyond those asked for",
    "unreadable",
    "ignored files",
    "left out",
)


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom score`` with the words after it."""
    options = _parser().parse_intermixed_args(list(arguments))
    require_sections(options.overrides, ("suite", "variables"), "score")
    from anyloom.evaluation.scoring import score
    from anyloom.evaluation.suite import read_suite, suites, to_choose_by

    if options.suite is None:
        raise ConfigError("which suite?", where="--suite", fix=f"suites: {', '.join(suites()) or 'none'}")
    Sources([options.suite], options.overrides).compose()
    suite = read_suite(options.suite, options.overrides)
    suite = to_choose_by(suite) if options.choose else suite
    with own_folder(options.output, "results.json") as folder:
        progress = Progress()
        results, shown = score(suite, options.outputs, names=options.names, advance=lambda s: progress("scoring", s))
        results.facts |= {"outputs": str(options.outputs)}
        write_results(suite, results, shown, folder, shlex.join(["anyloom", "score", *arguments]))
        print_results(suite, results, folder)
    print(f"paired: {results.facts['paired']} outputs")
    for kind in _TOLD:
        _tell(kind, results.facts[kind])
    return 0


def _tell(kind: str, found: Mapping[str, Any] | Sequence[str]) -> None:
    if found:
        pairs = [f"{k} ({v})" for k, v in found.items()] if isinstance(found, Mapping) else list(found)
        more = f", and {len(pairs) - _LISTED} more (results.json)" if len(pairs) > _LISTED else ""
        print(f"{kind}: {len(pairs)}: {', '.join(pairs[:_LISTED])}{more}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="anyloom score", description="Score the outputs of any program by a suite.")
    parser.add_argument("outputs", type=Path, help="folder of media, or a list of answers (.jsonl, .json, .csv)")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of the suite, such as suite.queries=20")
    parser.add_argument("--suite", help="recipe or YAML file with a suite")
    parser.add_argument(
        "--choose", action="store_true", help="score what to choose by (suite.choose), not what to report"
    )
    parser.add_argument("--names", metavar="PATTERN", help="how outputs are called, such as 'out/{key}_{n}'")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("scores"),
        metavar="FOLDER",
        help="where it has results, the next free number; default: scores",
    )
    return parser
