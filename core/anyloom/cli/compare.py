"""``anyloom compare A B``: what differs between two evaluations of the same questions, with intervals."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from anyloom.errors import CheckpointError

if TYPE_CHECKING:
    from anyloom.evaluation.paired import Difference

__all__ = ["main"]

_LISTED = 10


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom compare`` with the words after it."""
    options = _parser().parse_args(list(arguments))
    from anyloom.evaluation.paired import differences, in_one_only
    from anyloom.storage.atomic import write_text

    found = [d for d in differences(options.first, options.second) if not options.only or d.name in options.only]
    if not found:
        what = f"no value that both have is called {', '.join(options.only)}" if options.only else "no value is in both"
        raise CheckpointError(what, where=f"{options.first}, {options.second}", fix="see their results.json for names")
    width = max(len(d.name) for d in found)
    print(f"{'':{width}}  {'first':>9} {'second':>9} {'difference':>10}  95 % interval        N       p")
    for one in found:
        print(f"{one.name:{width}}  {_line(one)}")
    print("second less first; intervals by bootstrap over the questions, p by a two-sided sign test")
    for one in found:
        if one.unpaired:
            listed = ", ".join(map(str, one.unpaired[:_LISTED])) + (" ..." if len(one.unpaired) > _LISTED else "")
            print(f"left out of {one.name}: {len(one.unpaired)} queries that only one of the two has ({listed})")
    for name in in_one_only(options.first, options.second):
        print(f"not compared, because only one of the two has it: {name}")
    if options.json is not None:
        write_text(options.json, json.dumps([asdict(d) | {"difference": d.difference} for d in found], indent=1) + "\n")
        print(f"written: {options.json}")
    return 0


def _line(one: Difference) -> str:
    interval = "not known" if one.low is None else f"{one.low:+.4f} .. {one.high:+.4f}"
    pairs = f"{one.count:7}" if one.count else " unpaired"
    p = "" if one.p is None else f"{one.p:8.2g}"
    return f"{one.first:9.4f} {one.second:9.4f} {one.difference:+10.4f}  {interval:18} {pairs}{p}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anyloom compare",
        description="Compare two evaluations of the same questions, question by question.",
    )
    parser.add_argument("first", type=Path, help="folder of 'anyloom evaluate': what is compared with")
    parser.add_argument("second", type=Path, help="folder of 'anyloom evaluate': what is compared")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this value alone; may be repeated")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there, too")
    return parser
