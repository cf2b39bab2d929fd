"""Writes docs/benchmarks.md from what ``python benchmarks/run.py --json FILE`` measured.

python scripts/write_benchmark_page.py FILE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
HEAD = """\
# Benchmarks

Ratios of two ways to do the same thing, in CPU seconds of one thread, taken in turns in one run (A, B, A, B); medians.
Numbers of one machine say little; ratios say more. Above 1 x, anyloom is faster than the peer. Written by
`scripts/write_benchmark_page.py`; measured on {date}, {cores} cores ({processor}){rough}.

| what | beside | | goal | met | versions |
|---|---|---|---|---|---|
"""
TAIL = """
What each row does, and what it leaves out:

{notes}

The data path has two scripts of its own: `benchmarks/open_source.py` (10 million lines) and `benchmarks/data_path.py`
(needs webdataset). Their last results stand in `benchmarks/README.md`. Nothing on this page was measured on a GPU.

## Run them

```bash
python benchmarks/run.py --json benchmarks.json          # about twenty minutes of one core
python benchmarks/run.py --quick --json quick.json       # a minute: that everything runs; its numbers are rough
python benchmarks/run.py --only generation --json g.json
python benchmarks/gpu.py --json gpu.json                 # what one GPU shows, in eight minutes; tiny on a CPU
```
"""


def main() -> None:
    """Write the page."""
    found: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    rough = ", quick: rough" if found["quick"] else ""
    machine = found["machine"]
    text = HEAD.format(date=found["date"], cores=machine["cores"], processor=machine["processor"], rough=rough)
    text += "".join(_line(row) for row in found["rows"])
    notes = [f"- {row['name']}: {row['note']}; `{row['command']}`" for row in found["rows"] if row["note"]]
    PAGE.write_text(text + TAIL.format(notes="\n".join(notes)), encoding="utf-8")


def _line(row: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in row["versions"].items())
    sign = "≥" if row["better"] == "higher" else "≤"
    goal, met = ("-", "-") if row["goal"] is None else (f"{sign} {row['goal']:g}", "yes" if row["met"] else "**no**")
    return (
        f"| {row['name']} | {row['peer'] or '-'} | {row['ratio']:.3g} {row['unit']} | {goal} | {met} | {versions} |\n"
    )


if __name__ == "__main__":
    main()
