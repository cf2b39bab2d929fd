"""``anyloom evaluate``: runs an evaluation suite on a model; results for machines and people.

Writes ``results.json`` (:mod:`anyloom.evaluation.results` describes it), ``scores.jsonl`` (what every sample got),
``results.md`` (the tables) and ``report.html``, and prints the tables. Several processes that torchrun starts share
the questions; the first of them scores and writes.
"""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from anyloom.cli.arguments import (
    Sources,
    add_device_arguments,
    add_trust_arguments,
    require_sections,
    split_sources,
)
from anyloom.cli.asking import seed_number
from anyloom.cli.console import Progress, note
from anyloom.cli.kept_answers import KeptAnswers
from anyloom.cli.model_argument import HELP, UNTRAINED_HELP, NamedModel, load_named_model, placed
from anyloom.cli.outputs import own_folder
from anyloom.errors import ConfigError

if TYPE_CHECKING:
    from anyloom.evaluation.ranks import Ranks
    from anyloom.evaluation.results import Results
    from anyloom.evaluation.suite import Suite
    from anyloom.interfaces.metric import Evaluated

__all__ = ["main", "print_results", "write_results"]


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom evaluate`` with the words after it."""
    options = _parser().parse_intermixed_args(list(arguments))
    if options.model is not None:
        options.sources.insert(0, options.model)
    sources = split_sources(options)
    require_sections(sources.overrides, ("suite", "variables"), "evaluate")
    suite = _suite(options.suite, options.queries, sources)
    if options.choose:
        from anyloom.evaluation.suite import to_choose_by

        suite = to_choose_by(suite)
    from anyloom.evaluation.ranks import Ranks

    ranks = Ranks.of_environment()
    # of several processes the first has the folder, and says which one it is
    with own_folder(options.output, "results.json") if ranks.first else nullcontext(options.output) as folder:
        model_sources = Sources(sources.configs, [], sources.safe, sources.trust)
        named = load_named_model(model_sources, untrained=options.untrained)
        ranks.take_device()
        placed(named.model, options.device, options.dtype, offload=options.offload)
        identity = {**_hashes(named.folder), "dtype": str(options.dtype)}
        started = time.monotonic()
        kept, found = _shared(named, suite, options.seed, ranks, folder, identity)
        if not ranks.first:
            return 0
        spent = time.monotonic() - started
        results = _run(named, suite, options.seed, folder, shlex.join(["anyloom", "evaluate", *arguments]), spent)
        kept.remove()
        if found := found if ranks.count > 1 else kept.found:
            note(f"{found} batches of answers are those of the run that was cut off")
        print_results(suite, results, folder)
        return 0


def _shared(
    named: NamedModel, suite: Suite, seed: int, ranks: Ranks, folder: Path, identity: Mapping[str, str]
) -> tuple[KeptAnswers, int]:
    """Answer this process's share, and wait for the others; with how many batches were found on disk by all."""
    from anyloom.evaluation.runner import answer_share

    with ranks.together():
        chosen = Path(ranks.gathered(str(folder.absolute()))[0])
        kept = KeptAnswers(named.model, chosen, identity)
        if ranks.count == 1:
            return kept, 0
        if not chosen.is_dir():
            what = f"process {ranks.rank} does not see the folder {chosen} of the first one"
            raise ConfigError(what, where="--output", fix="name a folder on a disk that all machines share")
        advance = Progress() if ranks.first else lambda doing, share: None
        answer_share(named.model, suite, seed=seed, rank=ranks.rank, processes=ranks.count, advance=advance)
        return kept, sum(ranks.gathered(kept.found))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="anyloom evaluate", description="Run an evaluation suite on a model.")
    parser.add_argument("sources", nargs="*", metavar="MODEL|KEY=VALUE", help=f"{HELP}; overrides for the suite")
    parser.add_argument("--model", metavar="MODEL", help="the model, instead of as the first word")
    parser.add_argument("--suite", help="recipe or YAML file with a suite; by default the only one that is installed")
    parser.add_argument("--queries", type=int, metavar="N", help="samples per task, at most; default: the suite's")
    parser.add_argument(
        "--choose", action="store_true", help="ask what to choose by (suite.choose), not what to report"
    )
    parser.add_argument("--seed", type=seed_number, default=0, help="of samples and answers; default: 0")
    parser.add_argument("--untrained", action="store_true", help=UNTRAINED_HELP)
    add_device_arguments(parser)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("evaluation"),
        metavar="FOLDER",
        help="where it has results, the next free number; default: evaluation",
    )
    add_trust_arguments(parser)
    return parser


def _suite(name: str | None, queries: int | None, sources: Sources) -> Suite:
    from anyloom.evaluation.suite import read_suite, suites

    if name is None:
        known = suites()
        if len(known) != 1:
            raise ConfigError("which suite?", where="--suite", fix=f"suites: {', '.join(known) or 'none'}")
        name = known[0]
    more = [] if queries is None else [f"suite.queries={queries}"]
    # what is wrong is told here: the suite reads one section alone, and would let the others pass
    Sources([name], [*sources.overrides, *more], sources.safe, sources.trust).compose()
    return read_suite(name, [*sources.overrides, *more])


def _run(named: NamedModel, suite: Suite, seed: int, output: Path, command: str, spent: float) -> Results:
    from anyloom.evaluation.runner import run_suite

    results, shown = run_suite(named.model, suite, seed=seed, advance=Progress())
    results.facts |= {"model": named.name, "weights": _hashes(named.folder)}
    results.facts["seconds"] = round(results.facts["seconds"] + spent, 1)
    write_results(suite, results, shown, output, command)
    return results


def write_results(suite: Suite, results: Results, shown: Sequence[Evaluated], folder: Path, command: str) -> None:
    """Write results for machines and people.

    Args:
        suite: What was asked.
        results: What came out.
        shown: Samples to show.
        folder: Where to.
        command: What was run.
    """
    from anyloom import __version__
    from anyloom.evaluation.environment import environment
    from anyloom.evaluation.intervals import EXPLAINED
    from anyloom.evaluation.page import make_report
    from anyloom.evaluation.paired import SCORES, write_scores
    from anyloom.evaluation.suite import is_part
    from anyloom.evaluation.tables import markdown_of, tables_of
    from anyloom.report import write_report
    from anyloom.storage.atomic import write_text

    results.facts |= {"anyloom": __version__, "command": command, "environment": environment()}
    write_scores(folder / SCORES, results.scores)
    tables = "\n".join(markdown_of(table) for table in tables_of(suite, results))
    note = f"{EXPLAINED} Rows marked as quoted were measured by others."
    if results.facts.get("split") == suite.choose:
        note += f" Asked on the split {suite.choose}, to choose by: not numbers to report."
    elif is_part(suite):
        note += (
            f" Whoever chose anything by {suite.choose} (--choose) reports suite.split={suite.split}/report instead."
        )
    write_text(folder / "results.md", f"## {suite.title}\n\n{note}\n\n`{command}`\n\n{tables}")
    write_report(folder / "report.html", make_report(suite, results, shown))
    results.write(folder / "results.json")  # last: it shows that the others are there


def _hashes(folder: Path | None) -> dict[str, str]:
    """SHA-256 of the weight files of a saved model."""
    from anyloom.storage.hashes import sha256

    return {} if folder is None else {f.name: sha256(f) for f in sorted(folder.glob("*.safetensors"))}


def print_results(suite: Suite, results: Results, folder: Path) -> None:
    """Print the tables, the comparisons and where everything is."""
    from anyloom.evaluation.tables import tables_of, text_of

    for table in tables_of(suite, results):
        print(text_of(table) + "\n")
    for comparison, test in results.tests:
        print(f"{comparison.label}: {test.wins} better, {test.losses} worse, {test.ties} equal, p = {test.p:.2g}")
    for said, number in results.facts.get("not asked", {}).items():
        print(f"not asked: {number} samples: {said}")
    print(f"\nresults: {folder / 'results.json'}\nreport: {folder / 'report.html'}")
