"""``anyloom plugins check NAME``: runs the conformance kit on an installed component, in its tiny form."""

from __future__ import annotations

import argparse
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anyloom.discovery import KINDS, ComponentSpec, get_registry
from anyloom.errors import ConfigError

if TYPE_CHECKING:
    from anyloom.testing import Result

__all__ = ["main"]

_WIDTH = 100
_WORDS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped", "expected": "expected"}


def main(args: Sequence[str]) -> int:
    """Run the command with the words after it; the status is 1 if a check fails."""
    parser = argparse.ArgumentParser(
        prog="anyloom plugins check",
        description="Check an installed component against its interface, in the tiny form that its record names.",
        epilog="'expected' is a failure that the component declares, with its reason.",
    )
    parser.add_argument("name", help="name of a component, as 'anyloom plugins' lists it")
    parser.add_argument("--kind", choices=KINDS, help="for a name that several kinds have")
    parser.add_argument("--failed", action="store_true", help="print failed checks only")
    options = parser.parse_args(list(args))
    spec = _find(options.name, options.kind)

    from anyloom.testing import check_component, tiny_case

    with tempfile.TemporaryDirectory() as folder:
        results = check_component(tiny_case(spec, Path(folder)))
    print(f"{spec.kind} {spec.name} of {spec.package} {spec.version}, {spec.target}")
    for result in results:
        if result.verdict == "failed" or not options.failed:
            print(_text(result))
    if not spec.tiny:
        print("its record names no tiny form (ComponentSpec.tiny): only the record was checked")
    counts = {v: sum(r.verdict == v for r in results) for v in _WORDS}
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count))
    return 1 if counts["failed"] else 0


def _find(name: str, kind: str | None) -> ComponentSpec:
    """The record of a name; of the kind that has it, if only one does."""
    registry = get_registry()
    kinds = [kind] if kind else sorted({s.kind for s in registry.components() if s.name == name})
    if len(kinds) > 1:
        raise ConfigError(f"{name!r} is the name of several components: {', '.join(kinds)}", fix="give --kind")
    if kinds:
        return registry.find(kinds[0], name)
    known = sorted({s.name for s in registry.components()})
    raise ConfigError(f"no component is called {name!r}", fix=f"the names are {', '.join(known)}")


def _text(result: Result) -> str:
    """A line for the verdict; below it what was demanded, what is wrong and the cure, where it failed."""
    line = f"  {_WORDS[result.verdict]:8}  {result.check.name.replace('_', ' ')}"
    notes = {"passed": [], "skipped": [result.message], "expected": [f"declared: {result.message}"]}.get(
        result.verdict, [result.check.demand, f"But {result.message}.", f"To fix: {result.check.cure}."]
    )
    indent = " " * 12
    for note in notes:
        line += "\n" + textwrap.fill(note, _WIDTH, initial_indent=indent, subsequent_indent=indent)
    return line
