"""Runs the benchmarks and writes their rows: ``python benchmarks/run.py [--quick] [--only NAME] --json FILE``.

A row is ``{name, peer, versions, ratio, goal, better, unit, met, note, command}``. All are CPU seconds of one thread,
the two ways in turns (A, B, A, B). ``--quick`` takes few rounds: it shows that everything runs, its numbers are rough.
``python scripts/write_benchmark_page.py FILE`` makes the page of them.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent))
MODULES = ("start", "tokens", "loop", "generation", "serving", "decoding", "caching", "data_path", "saving")


def main() -> int:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=MODULES, action="append")
    parser.add_argument("--json", type=Path, required=True)
    options = parser.parse_args()
    found = []
    for name in options.only or MODULES:
        command = f"python benchmarks/run.py{' --quick' * options.quick} --only {name} --json FILE"
        for row in importlib.import_module(name).rows(options.quick):
            found.append({**asdict(row), "met": row.met, "command": command})
            goal = "no goal" if row.goal is None else f"goal {row.goal:g}, {'met' if row.met else 'missed'}"
            against = f" / {row.peer}" if row.peer else ""
            print(f"{row.name}{against}: {row.ratio:.3g} {row.unit} ({goal})", flush=True)
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    whole = {
        "date": datetime.date.today().isoformat(), "quick": options.quick, "machine": machine, "rows": found,
    }  # fmt: skip
    options.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
