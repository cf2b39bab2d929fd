"""``anyloom baseline``: lets a baseline answer a suite's questions, and scores what it answers.

Its answers lie in the output's folder as ``answers.jsonl`` and ``media/``, where ``anyloom score`` finds them again; a
run that was cut off goes on after the last answer that it wrote.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from anyloom.cli.arguments import Sources
from anyloom.cli.asking import seed_number
from anyloom.cli.console import Progress, note
from anyloom.cli.evaluate import print_results, write_results
from anyloom.cli.model_argument import device_named
from anyloom.cli.outputs import own_folder
from anyloom.errors import ConfigError

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom baseline`` with the words after it."""
    options = _parser().parse_intermixed_args(list(arguments))
    from anyloom.building import build_named
    from anyloom.config.compose import overridden
    from anyloom.evaluation.baselines import answer_suite
    from anyloom.evaluation.scoring import score
    from anyloom.evaluation.suite import read_suite

    own = [word for word in options.overrides if word.startswith("baseline.")]
    others = [word for word in options.overrides if word not in own]
    if wrong := [word for word in others if not word.startswith(("suite.", "variables."))]:
        fix = "write baseline.KEY=VALUE, or suite.KEY=VALUE or variables.KEY=VALUE"
        raise ConfigError("overrides are of the baseline or of the suite", where=wrong[0], fix=fix)
    Sources([options.suite], others).compose()
    suite = read_suite(options.suite, others)
    described = overridden({"name": options.name}, own, key="baseline")
    baseline = build_named("baseline", described, where="baseline")
    progress = Progress()
    with own_folder(options.output) as folder:
        failed = answer_suite(
            suite,
            baseline,
            folder,
            identity=described,
            seed=options.seed,
            device=device_named(options.device),
            advance=lambda share: progress("answering", share),
        )
        results, shown = score(suite, folder, advance=lambda share: progress("scoring", share))
        results.facts |= {"baseline": described, "seed": options.seed, "not answered": failed}
        write_results(suite, results, shown, folder, shlex.join(["anyloom", "baseline", *arguments]))
        print_results(suite, results, folder)
    print(f"answers: {folder / 'answers.jsonl'}")
    for name, why in list(failed.items())[:5]:
        note(f"{name} was not answered: {why}")
    if len(failed) > 5:
        note(f"and {len(failed) - 5} more (results.json)")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="anyloom baseline", description="Let a baseline answer a suite's questions, and score its answers."
    )
    parser.add_argument("name", help="a component of the kind baseline; 'anyloom plugins --kind baseline' lists them")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="baseline.KEY, suite.KEY or variables.KEY")
    parser.add_argument("--suite", required=True, help="recipe or YAML file with a suite")
    parser.add_argument("--seed", type=seed_number, default=0, help="of the answers; default: 0")
    parser.add_argument("--device", default="cpu", help="where it computes: cpu, cuda, auto; default: cpu")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FOLDER", help="where answers and results go; goes on there"
    )
    return parser
