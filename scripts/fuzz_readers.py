"""Fuzzes every target of tests/fuzz for some time and prints what came of it, as a table.

    python scripts/fuzz_readers.py --seconds 3600 --keep findings/

With ``--atheris TARGET`` one target runs under atheris instead, guided by coverage of anyloom's own code, until it is
interrupted (``pip install atheris``, Python 3.11 to 3.13). More words go to libFuzzer, such as ``-max_total_time=60``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from fuzz.driving import drive, one
from fuzz.targets import TARGETS, Target


def main() -> int:
    """Run; 1 if there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="for all targets together")
    parser.add_argument("--targets", default="", help="names, with commas; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for inputs that are findings")
    parser.add_argument("--atheris", metavar="TARGET")
    options, rest = parser.parse_known_args()
    if options.atheris:
        return guided(next(t for t in TARGETS if t.name == options.atheris), rest)
    asked = [t for t in TARGETS if not options.targets or t.name in options.targets.split(",")]
    print("| target | inputs | refused | slowest, s | memory, MB | findings |\n|---|---|---|---|---|---|")
    total, findings = 0, []
    for target in asked:
        found = drive(target, options.seconds / len(asked), options.seed, keep=options.keep)
        counts = f"{found.inputs:,} | {found.refused:,} | {found.slowest:.2f} | {found.grown}"
        print(f"| {target} | {counts} | {len(found.findings)} |", flush=True)
        total, findings = total + found.inputs, findings + found.findings
    print(f"\n{total:,} inputs, {len(findings)} findings")
    print("\n".join(findings))
    return int(bool(findings))


def guided(target: Target, arguments: list[str]) -> int:
    """Let atheris choose the inputs."""
    import atheris

    atheris.instrument_all()
    for number, base in enumerate(target.bases()):  # the first of them begin the corpus
        folder = Path(tempfile.gettempdir()) / f"corpus-{target}"
        folder.mkdir(exist_ok=True)
        (folder / str(number)).write_bytes(base)
        arguments.append(str(folder))
    place = Path(tempfile.mkdtemp())
    atheris.Setup([sys.argv[0], *arguments], lambda data: one(target, data, place))
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
