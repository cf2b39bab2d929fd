"""Writes docs/mini.md and docs/mini-samples.html about a model that `anyloom evaluate --suite in-context` has measured.

    anyloom evaluate MODEL --suite in-context --output evaluation
    python scripts/measure_mini.py MODEL --json pooled.json
    python scripts/write_mini_page.py evaluation/results.json MODEL --pooled pooled.json

MODEL is the saved model's folder. The tables are those of the suite, the targets those of scripts/mini_targets.yaml.
Several draws of the queries, pooled, are what
scripts/measure_mini.py has measured.
The samples are the first held-out queries with one example, none left out, each with its verdict.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from anyloom import AnyToAnyModel
from anyloom.building import build_named
from anyloom.evaluation.intervals import EXPLAINED
from anyloom.evaluation.measure import answer_samples
from anyloom.evaluation.page import sample_row
from anyloom.evaluation.results import Results
from anyloom.evaluation.runner import samples_of
from anyloom.evaluation.suite import Suite, read_suite
from anyloom.evaluation.tables import shown_value, tables_of, value_interval
from anyloom.interfaces import Evaluated, Metric, Score
from anyloom.report import Measure, Report, SampleGroup, write_report

ROOT = Path(__file__).resolve().parents[1]
TARGETS = ROOT / "scripts" / "mini_targets.yaml"
POOLED = {
    "no example": "exemplar/k0",
    "1 example": "exemplar/k1",
    **{f"· {family}": f"exemplar/k1/{family}" for family in ("style", "tone", "gender", "geometry", "colour")},
    "2 examples": "exemplar/k2",
    "4 examples": "exemplar/k4",
    "in words": "edit",
    "in other words": "edit-rephrased",
    "two edits at once, 1 example": "composition/k1",
    "its own answer edited again": "rounds/own",
}
METRIC, TASK, EXAMPLES = "retrieval", "exemplar", 1


def main() -> None:
    """Write both pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="results.json of the suite")
    parser.add_argument("model", type=Path, help="folder of the saved model")
    parser.add_argument("--pooled", type=Path, help="what measure_mini.py wrote")
    parser.add_argument("--suite", default="in-context", help="default: in-context")
    parser.add_argument("--samples", type=int, default=48, help="how many samples are shown; default: 48")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", help="default: docs")
    options = parser.parse_args()
    suite, results = read_suite(options.suite), Results.read(options.results)
    targets = yaml.safe_load(TARGETS.read_text(encoding="utf-8"))
    pooled = None if options.pooled is None else json.loads(options.pooled.read_text(encoding="utf-8"))
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "mini.md").write_text(page(suite, results, targets, pooled), encoding="utf-8")
    write_samples(
        options.output / "mini-samples.html", suite, AnyToAnyModel.from_pretrained(options.model), options.samples
    )
    print(f"wrote {options.output / 'mini.md'} and mini-samples.html")


def page(
    suite: Suite, results: Results, targets: Sequence[dict[str, Any]], pooled: dict[str, Any] | None = None
) -> str:
    """The page in Markdown."""
    facts = results.facts
    total = sum(facts.get("parameters", {}).values())
    weights = "".join(f"- `{name}`: SHA-256 `{digest}`\n" for name, digest in facts.get("weights", {}).items())
    tests = "".join(
        f"- {c.label}: {t.wins} queries better, {t.losses} worse, {t.ties} equal, p = {t.p:.2g}\n"
        for c, t in results.tests
    )
    sections = [
        "# What the mini model does\n",
        "Written by `scripts/write_mini_page.py` from what `anyloom evaluate` measured; not edited by hand. "
        "[The first 48 answers](mini-samples.html), good and bad, are on a page of their own.\n",
        suite.summary + "\n",
        f"- {total / 1e6:.1f} M parameters\n{weights}- anyloom {facts.get('anyloom', '?')}, seed {facts.get('seed')}, "
        f"at most {facts.get('queries')} queries per task\n- measured by `{facts.get('command')}`\n",
        *([pooled_table(pooled)] if pooled else []),
        "## Beside the targets\n",
        f"This table and those below are of one draw (seed {facts.get('seed')}).\n",
        target_table(results, targets),
        "## All values\n",
        f"{EXPLAINED}\n",
        *(f"### {t.title}\n\n{t.explanation}\n\n{markdown(t)}" for t in tables_of(suite, results)),
        f"## Sign tests\n\n{tests}",
    ]
    return "\n".join(sections)


def pooled_table(pooled: dict[str, Any]) -> str:
    """The main rows over several draws."""
    rows = []
    for label, name in POOLED.items():
        row = pooled["rows"][name]
        share = row["right"] / row["count"]
        rows.append([label, shown_value(share, (row["low"], row["high"]), "percent"), str(row["count"])])
    rising = pooled["rising"]
    more = f"{rising['points']:+.1f} ± {rising['interval']:.1f} points (95 % interval, N = {rising['count']})"
    return (
        f"## Pooled over {pooled['draws']} draws\n\n"
        "Single draws of the queries differ by as much as their intervals say; that of the tables further down is the "
        "best of six that were tried. Hard gallery, input in it; in brackets Wilson's 95 % interval:\n\n"
        f"{_table(['', 'right', 'N'], rows)}\nFour examples over one, paired: {more}.\n"
    )


def target_table(results: Results, targets: Sequence[dict[str, Any]]) -> str:
    """What was to be reached and what was."""
    rows = []
    for target in targets:
        must, aim, lower = target.get("must"), target.get("aim"), target.get("lower", False)
        value, shown = _measured(results, target)
        info = results.info(target["value"])
        goal = "number" if "times" in target else "percent" if info is None else info.form
        reached = "not measured" if value is None else _reached(value, must, aim, lower)
        found = results.values.get(target["value"])
        count = "–" if found is None else str(found.count)
        goals = [shown_value(must, None, goal), shown_value(aim, None, goal)]
        rows.append([target["label"], shown, count, *goals, reached])
    return _table(["", "measured", "N", "must", "aim", "reached"], rows)


def _measured(results: Results, target: dict[str, Any]) -> tuple[float | None, str]:
    """The number that counts, and how it is shown."""
    value = results.values.get(target["value"])
    if value is None:
        return None, "–"
    info = results.info(target["value"])
    if "times" not in target:
        interval = value_interval(results, target["value"], value)
        return value.value, shown_value(value.value, interval, info.form if info else "percent")
    base = results.values.get(target["times"])
    if base is None:
        return None, "–"
    times = value.value / base.value if base.value else float("inf")
    return times, f"{times:.1f}"


def _reached(value: float, must: float | None, aim: float | None, lower: bool) -> str:
    def met(goal: float) -> bool:
        return value <= goal if lower else value >= goal

    if aim is not None and met(aim):
        return "aim"
    if must is None:
        return "no (not a must)"
    return "yes" if met(must) else "**no**"


def markdown(table: Measure) -> str:
    """A table in Markdown."""
    rows = [
        [
            ("· " if row.part else "") + row.label,
            *(shown_value(v, i, table.form) for v, i in zip(row.values, row.intervals)),
            str(row.count),
        ]
        for row in table.rows
    ]
    return _table(["", *table.columns, "N"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def write_samples(path: Path, suite: Suite, model: AnyToAnyModel, count: int) -> None:
    """The first queries with one example, each with the decoded answer and its verdict."""
    answered, scores = first_answers(suite, model, count)
    rows = [sample_row(one, verdict(score)) for one, score in zip(answered, scores)]
    right = sum(verdict(score) == "Right" for score in scores)
    text = (
        f"The first {len(rows)} held-out queries with one example, in the order of the data set, none left out: "
        f"{right} of them are right. An answer is right when, of all variants of its subject, the target is nearest "
        "to the predicted feature; the picture is what the decoder makes of that feature."
    )
    write_report(
        path, Report("Answers of the mini model, not selected", text, samples=[SampleGroup("Answers", "", rows)])
    )


def first_answers(suite: Suite, model: AnyToAnyModel, count: int) -> tuple[list[Evaluated], list[Score]]:
    """The first held-out queries with decoded answers, and what the metric says of each."""
    chosen = [s for s in samples_of(suite) if s.task == TASK and s.provenance.get("k") == EXAMPLES][:count]
    settings = {**suite.metrics[METRIC], "alike": False}  # the verdict needs the hard gallery alone
    metric: Metric = build_named("metric", settings, where=f"suite.metrics.{METRIC}")
    metric.prepare(model)
    answered = answer_samples(model, chosen, decode=True)
    metric.update(answered)
    return answered, metric.scores()


def verdict(score: Score) -> str:
    """Whether an answer is right, and if not, whether it is the unchanged input."""
    if score.values["hard_top1"] > 0.5:
        return "Right"
    return "Wrong: copies the input" if score.values.get("copy_rate", 0) > 0.5 else "Wrong"


if __name__ == "__main__":
    main()
