"""The page about the mini model says what was measured and what was reached."""

from __future__ import annotations

import pytest
import yaml
from scripts.write_mini_page import TARGETS, page, target_table, verdict

from anyloom.evaluation.results import Results, Value
from anyloom.evaluation.sign_test import SignTest
from anyloom.evaluation.suite import ComparisonSettings, read_suite
from anyloom.interfaces import Score, ValueInfo

HIT = "retrieval/exemplar/k1/hard_top1"


@pytest.fixture
def results() -> Results:
    values = {
        HIT: Value(0.385, 300, 0.028141),
        "retrieval/exemplar/k0/hard_top1": Value(0.05, 300, 0.012604),
        "sound/sound-add/relative": Value(0.9, 100, 0.05),
    }
    facts = {"command": "anyloom evaluate x", "weights": {"model.safetensors": "abc"}, "parameters": {"llm": 1_500_000}}
    infos = {
        "retrieval/hard_top1": ValueInfo("Hits", "Share of hits."),
        "sound/relative": ValueInfo("x", "y", "lower", "number"),
    }
    compared = ComparisonSettings(
        label="one helps", value="retrieval/hard_top1", better="exemplar/k1", than="exemplar/k0"
    )
    return Results(facts, values, infos, [(compared, SignTest(104, 1, 195, 2.6e-30))])


def test_page_has_the_suites_tables_and_the_facts(results: Results) -> None:
    text = page(read_suite("in-context"), results, [])
    assert "| all | 5.0 (3.1 to 8.1) % | 38.5 (33.2 to 44.1) % | 300 |" in text
    assert "one helps: 104 queries better, 1 worse, 195 equal, p = 2.6e-30" in text
    assert "1.5 M parameters" in text
    assert "SHA-256 `abc`" in text
    assert "Which picture comes next" not in text, "it was not measured"


@pytest.mark.parametrize(
    ("target", "row"),
    [
        ({"must": 0.3, "aim": 0.45}, "38.5 (33.2 to 44.1) % | 300 | 30.0 % | 45.0 % | yes"),
        ({"must": 0.3, "aim": 0.38}, "38.5 (33.2 to 44.1) % | 300 | 30.0 % | 38.0 % | aim"),
        ({"must": 0.4}, "38.5 (33.2 to 44.1) % | 300 | 40.0 % | – | **no**"),
        ({"aim": 0.4}, "38.5 (33.2 to 44.1) % | 300 | – | 40.0 % | no (not a must)"),
        ({"times": "retrieval/exemplar/k0/hard_top1", "must": 3}, "7.7 | 300 | 3.000 | – | yes"),
        (
            {"value": "sound/sound-add/relative", "must": 1.0, "lower": True},
            "0.900 (0.802 to 0.998) | 100 | 1.000 | – | yes",
        ),
        (
            {"value": "sound/sound-add/relative", "must": 0.8, "lower": True},
            "0.900 (0.802 to 0.998) | 100 | 0.800 | – | **no**",
        ),
        ({"value": "nothing", "must": 0.3}, "– | – | 0.300 | – | not measured"),
    ],
)
def test_targets(results: Results, target: dict[str, object], row: str) -> None:
    assert target_table(results, [{"label": "x", "value": HIT, **target}]).splitlines()[2] == f"| x | {row} |"


def test_targets_name_values_that_the_suite_measures() -> None:
    suite = read_suite("in-context")
    for target in yaml.safe_load(TARGETS.read_text(encoding="utf-8")):
        for name in filter(None, (target["value"], target.get("times"))):
            metric, task = name.split("/")[:2]
            assert task in suite.metrics[metric].get("tasks", [task]), name
            assert task in suite.data["datasets"]["starter"]["tasks"], name


def test_verdicts() -> None:
    scores = [Score(0, (), {"hard_top1": h, "copy_rate": c}) for h, c in ((1, 0), (0, 1), (0, 0))]
    assert [verdict(s) for s in scores] == ["Right", "Wrong: copies the input", "Wrong"]
