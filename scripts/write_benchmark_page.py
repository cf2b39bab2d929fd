"""Writes docs/benchmarks.md from what ``python benchmarks/run.py --json FILE`` measured.

python scripts/write_benchmark_page.py FILE

Rows that FILE does not have stay as they were measured before: all of them are kept in benchmarks/results.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE, KEPT = ROOT / "docs" / "benchmarks.md", ROOT / "benchmarks" / "results.json"
HEAD = """\
# Benchmarks

Ratios of two ways to do the same thing, in CPU seconds of one thread, taken in turns in one run (A, B, A, B); medians.
Numbers of one machine say little; ratios say more. Above 1 x, anyloom is faster than the peer. Written by
`scripts/write_benchmark_page.py`; {cores} cores ({processor}), busy with other work. A star marks a quick run.

| what | beside | | goal | met | versions | measured |
|---|---|---|---|---|---|---|
"""
TAIL = """
In the rows of `serving`, which say what a client waits for, TTFT is the time to the first piece of text, TPOT the time
between pieces after it.

What each row does, and what it leaves out:

{notes}

Opening 10 million lines has a script of its own, `benchmarks/open_source.py`, whose last result stands in
`benchmarks/README.md`. Nothing on this page was measured on a GPU.

## Run them

```bash
python benchmarks/run.py --json benchmarks.json          # about twenty minutes of one core
python benchmarks/run.py --quick --json quick.json       # a minute: that everything runs; its numbers are rough
python benchmarks/run.py --only generation --json g.json
python benchmarks/gpu.py --json gpu.json                 # what one GPU shows, in eight minutes; tiny on a CPU
```
"""


def main() -> None:
    """Put the new rows among the kept ones, and write the page."""
    found: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    kept: dict[str, Any] = json.loads(KEPT.read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in kept["rows"]}
    rows |= {row["name"]: {**row, "date": found["date"], "quick": found["quick"]} for row in found["rows"]}
    modules = list(dict.fromkeys(_module(row) for row in rows.values()))
    kept = {"machine": found["machine"], "rows": sorted(rows.values(), key=lambda row: modules.index(_module(row)))}
    KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(kept), encoding="utf-8")


def page(kept: dict[str, Any]) -> str:
    """The page of all rows."""
    machine, rows = kept["machine"], kept["rows"]
    text = HEAD.format(cores=machine["cores"], processor=machine["processor"]) + "".join(map(_line, rows))
    notes = [f"- {row['name']}: {row['note']}; `{row['command']}`" for row in rows if row["note"]]
    return text + TAIL.format(notes="\n".join(notes))


def _module(row: dict[str, Any]) -> str:
    return str(row["command"].split("--only ")[1].split()[0])


def _line(row: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in row["versions"].items())
    sign = "≥" if row["better"] == "higher" else "≤"
    goal, met = ("-", "-") if row["goal"] is None else (f"{sign} {row['goal']:g}", "yes" if row["met"] else "**no**")
    return (
        f"| {row['name']} | {row['peer'] or '-'} | {row['ratio']:.3g} {row['unit']} | {goal} | {met} "
        f"| {versions} | {row['date']}{'*' * row['quick']} |\n"
    )


if __name__ == "__main__":
    main()
