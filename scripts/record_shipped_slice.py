"""Records how many queries of a small fixed slice of the suite the shipped weights answer rightly.

    python scripts/record_shipped_slice.py

writes tests/golden/shipped_slice.json, which tests/plugins/models/test_shipped_weights.py compares with. Run it when
the weights have changed on purpose.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from anyloom import AnyToAnyModel
from anyloom.building import build_named
from anyloom.cli.model_argument import shipped_weights
from anyloom.evaluation.draw import pick
from anyloom.evaluation.measure import measure
from anyloom.evaluation.suite import read_suite
from anyloom.interfaces import Metric, Score

RECORD = Path(__file__).resolve().parents[1] / "tests" / "golden" / "shipped_slice.json"
QUERIES, SEED = 25, 0
COUNTED = {
    "in context, 1 example, hard gallery": ("retrieval", "exemplar/k1", "hard_top1"),
    "in context, 1 example, full gallery": ("retrieval", "exemplar/k1", "full_top1"),
    "in words, hard gallery": ("retrieval", "edit", "hard_top1"),
    "drawing style in captions": ("words", "picture-to-text/style", "named"),
}


def right_answers(folder: Path) -> dict[str, int]:
    """Count right answers of a saved model by what was asked."""
    overrides = [
        f"suite.queries={QUERIES}",
        "suite.data.datasets.starter.test_examples=[1]",
        "suite.metrics.retrieval.alike=false",
    ]
    suite = read_suite("in-context", overrides)
    builder = build_named("dataset", suite.data["datasets"]["starter"], where="data")
    samples = pick(builder.build(suite.split), QUERIES, SEED)
    metrics: dict[str, Metric] = {
        name: build_named("metric", suite.metrics[name], where=name) for name in {m for m, _, _ in COUNTED.values()}
    }
    chosen = [s for s in samples if s.task in ("exemplar", "edit", "picture-to-text")]
    measure(AnyToAnyModel.from_pretrained(folder), chosen, metrics, seed=SEED)
    scores: dict[str, list[Score]] = {name: metric.scores() for name, metric in metrics.items()}
    return {
        label: sum(s.values[value] > 0.5 for s in scores[metric] if group in s.groups and value in s.values)
        for label, (metric, group, value) in COUNTED.items()
    }


def main() -> None:
    """Write the record."""
    folder = shipped_weights("mini")
    if folder is None:
        sys.exit("no weights ship with the recipe mini")
    weights = json.loads((folder / "config.json").read_text(encoding="utf-8"))["files"]["model.safetensors"]
    record = {"weights": weights, "queries": QUERIES, "right": right_answers(folder)}
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
