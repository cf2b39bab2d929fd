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
        return guided(options.atheris, rest)
    from fuzz.driving import drive
    from fuzz.targets import TARGETS

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


def guided(name: str, arguments: list[str]) -> int:
    """Let atheris choose the inputs of a target, by what they reach in anyloom."""
    import atheris

    with atheris.instrument_imports(include=["anyloom", "anyloom_llama", "anyloom_media", "anyloom_corpora"]):
        from fuzz.driving import one
        from fuzz.targets import TARGETS

        target = next(t for t in TARGETS if t.name == name)
        bases, place = list(target.bases()), Path(tempfile.mkdtemp())
        for base in bases:  # what is imported late is imported now
            one(target, base, place)
    corpus = Path(tempfile.mkdtemp())
    for number, base in enumerate(bases):
        (corpus / str(number)).write_bytes(base)
    atheris.Setup([sys.argv[0], *arguments, str(corpus)], lambda data: one(target, data, place))
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
