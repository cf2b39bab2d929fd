"""Suites on a tiny model: the command's files agree with each other, sign tests with the closed form."""

from __future__ import annotations

import json
import random
from itertools import product
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
import torch
import yaml

from anyloom import AnyToAnyModel
from anyloom.cli.main import main
from anyloom.conversation import Conversation, Message
from anyloom.errors import CheckpointError, ConfigError
from anyloom.evaluation.draw import pick
from anyloom.evaluation.intervals import interval_of
from anyloom.evaluation.results import Results, Value
from anyloom.evaluation.sign_test import SignTest, compare, probability_by_chance
from anyloom.evaluation.suite import Suite, read_suite
from anyloom.evaluation.tables import tables_of, text_of
from anyloom.interfaces import Sample, Score, ValueInfo
from anyloom.media import write_media
from anyloom.network.config import ModelConfig
from anyloom.options import validate
from anyloom.storage.hashes import sha256
from parts import model_options, picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> Path:
    """A saved model, conversations and a suite about them."""
    made = tmp_path_factory.mktemp("suite")
    options = model_options(tokenizer_folder, modalities=("image",))
    torch.manual_seed(0)
    AnyToAnyModel(validate(ModelConfig, options, where="model")).save_pretrained(made / "model")
    lines = []
    for n in range(5):
        before, after = (write_media(picture(2 * n + i), made / f"p{2 * n + i}").name for i in (0, 1))
        asked = [{"type": "text", "text": "make it blue"}, {"type": "image", "path": before}]
        answer = [{"type": "image", "path": after}]
        messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        lines.append(json.dumps({"task": "edit", "messages": messages}))
    (made / "data.jsonl").write_text("\n".join(lines), encoding="utf-8")
    suite = {
        "title": "Tiny <suite>",
        "data": {"datasets": {"own": {"name": "conversations", "test": str(made / "data.jsonl")}}},
        "queries": 4,
        "metrics": {"feature": {"name": "feature-error"}},
        "tables": [
            {"title": "Error", "rows": {"edits": "edit"}, "columns": {"made": "feature/{}/error", "no": "x/{}/y"}},
            {"title": "Empty", "rows": {"nothing": "nothing"}, "columns": {"made": "feature/{}/error"}},
        ],
        "comparisons": [{"label": "nothing", "value": "feature/error", "better": "edit", "than": "edit"}],
        "shown": 1,
    }
    (made / "suite.yaml").write_text(yaml.safe_dump({"suite": suite}), encoding="utf-8")
    return made


def run(folder: Path, *words: str, out: str = "out") -> Results:
    """Results of a run; a folder that has some keeps them, and a new one is found by the latest time."""
    suite = ("--suite", str(folder / "suite.yaml"))
    assert main(["evaluate", str(folder / "model"), *suite, "--trust", "--output", str(folder / out), *words]) == 0
    written = folder.glob(f"{out}*/results.json")
    return Results.read(max(written, key=lambda file: file.stat().st_mtime_ns))


def test_command_writes_results_and_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = run(folder, out="first")
    value = results.values["feature/edit/error"]
    assert value.count == 4
    assert value.error is not None
    assert results.values["feature/edit/relative"].value == pytest.approx(
        value.value / results.values["feature/edit/error_copying"].value, rel=1e-4
    )
    facts = results.facts
    assert facts["weights"] == {"model.safetensors": sha256(folder / "model" / "model.safetensors")}
    assert (facts["queries"], facts["seed"], facts["split"]) == (4, 0, "test")
    words = f"{folder / 'model'} --suite {folder / 'suite.yaml'} --trust --output {folder / 'first'}"
    assert facts["command"] == f"anyloom evaluate {words}"
    assert facts["anyloom"]
    said = capsys.readouterr().out
    low, high = (value.value + sign * 1.96 * value.error for sign in (-1, 1))
    assert f"edits  {value.value:.3f} ({low:.3f} to {high:.3f})  4" in said
    assert "Empty" not in said
    page = (folder / "first" / "report.html").read_text(encoding="utf-8")
    assert "Tiny &lt;suite&gt;" in page
    assert f"{value.value:.3f}" in page
    assert 'src="data:image' in page


def test_seed_and_queries_choose_the_samples(folder: Path) -> None:
    first = run(folder).values
    assert run(folder).values == first
    assert run(folder, "--seed", "1").values != first, "four of five are drawn"
    assert run(folder, "--queries", "2").values["feature/edit/error"].count == 2
    assert run(folder, "suite.limits={edit: 3}").values["feature/edit/error"].count == 3


def test_what_is_wrong_is_named(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no evaluation suite"):
        read_suite(str(write(folder / "none.yaml", {"variables": {}})))
    with pytest.raises(ConfigError, match=r"suite\.titel"):
        read_suite(str(folder / "suite.yaml"), ["suite.titel=x"])
    with pytest.raises(CheckpointError, match="no results of an evaluation"):
        Results.read(write(folder / "none.json", {"format": 1}))


def write(path: Path, value: Any) -> Path:
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    return path


@pytest.mark.parametrize("n", [0, 1, 2, 7, 40])
def test_chance_equals_the_binomial_distribution(n: int) -> None:
    coin = torch.distributions.Binomial(n, torch.tensor(0.5, dtype=torch.float64))
    heads = coin.log_prob(torch.arange(n + 1, dtype=torch.float64)).exp()
    for wins in range(n + 1):
        assert probability_by_chance(wins, n) == pytest.approx(float(heads[wins:].sum()), abs=1e-12)


def test_chance_counts_all_throws_of_a_coin() -> None:
    throws = [sum(t) for t in product((0, 1), repeat=6)]
    for wins in range(7):
        assert probability_by_chance(wins, 6) == sum(t >= wins for t in throws) / len(throws)


def test_only_queries_that_both_groups_have_are_compared() -> None:
    scores = [Score(q, ("all", "with"), {"hit": hit}) for q, hit in enumerate((1.0, 1.0, 0.0, 1.0))]
    scores += [Score(q, ("all", "without"), {"hit": hit}) for q, hit in enumerate((0.0, 1.0, 1.0))]
    random.Random(0).shuffle(scores)
    assert compare(scores, "hit", "with", "without") == SignTest(1, 1, 1, 0.75)
    assert compare(scores[:0], "hit", "with", "without") == SignTest(0, 0, 0, 1.0)
    fewer = [Score(0, ("a",), {"error": 0.1}), Score(0, ("b",), {"error": 0.2})]
    assert compare(fewer, "error", "a", "b", lower=True).wins == 1


def test_tables_leave_out_what_was_not_measured() -> None:
    columns = {"one": "m/{}/k1/hit", "copying": "m/{}/k1/hit_copying", "two": "m/{}/k2/hit"}
    rows = {"all": "edit", " tone": "edit/tone", " style": "edit/style"}
    tables = [{"title": "T", "rows": rows, "columns": columns}]
    suite = Suite(title="S", data={}, metrics={}, tables=tables)  # type: ignore[arg-type]
    info = ValueInfo("Error", "How far.", better="lower", form="number")
    results = Results(measures={"m/hit": info, "m/hi": ValueInfo("Other", "x.")})
    results.values = {"m/edit/k1/hit": Value(0.25, 8, 0.125), "m/edit/tone/k1/hit_copying": Value(0.5, 4)}
    (table,) = tables_of(suite, results)
    assert list(table.columns) == ["one", "copying"]
    assert [(r.label, list(r.values), r.count, r.part) for r in table.rows] == [
        ("all", [0.25, None], 8, False),
        ("tone", [None, 0.5], 4, True),
    ]
    assert (table.better, table.form, table.explanation) == ("lower", "number", "How far.")
    assert text_of(table).splitlines() == [
        "T (lower is better; in brackets 95 % intervals)",
        "                             one  copying  N",
        "  all     0.250 (0.005 to 0.495)        –  8",
        "    tone                       –    0.500  4",
    ]


def test_results_survive_the_file(tmp_path: Path) -> None:
    results = Results({"title": "x"}, {"a/b/c": Value(0.5, 3, None)}, {"a/c": ValueInfo("C", "c.")})
    results.write(tmp_path / "r.json")
    assert Results.read(tmp_path / "r.json") == results


def test_equal_queries_are_picked_for_every_number_of_examples() -> None:
    samples = [edit_about(query, k) for query in range(10) for k in (0, 1, 4)]
    measured = pick(samples, 4, seed=0)
    queries = {k: [s.provenance["query"] for s in measured if s.provenance["k"] == k] for k in (0, 1, 4)}
    assert len(queries[0]) == 4
    assert queries[0] == queries[1] == queries[4]
    assert pick(samples, 4, seed=1) != measured
    assert {s.provenance["k"] for s in pick(samples, 2, seed=0, examples=3)} == {4}


def edit_about(query: int, k: int) -> Sample:
    return Sample(Conversation([Message("assistant", "x")]), "edit", {"query": query, "k": k})


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_shares_have_the_intervals_of_newcombes_table(right: int, count: int, low: float, high: float) -> None:
    """R. G. Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 3: Wilson's score interval."""
    hits = torch.tensor([1.0] * right + [0.0] * (count - right), dtype=torch.float64)
    found = interval_of(right / count, float(hits.std() / count**0.5), count, share=True)
    assert found == pytest.approx((low, high), abs=5e-5)


def test_means_have_the_normal_interval() -> None:
    scores = torch.tensor([0.2, 0.4, 0.9], dtype=torch.float64)
    error = float(scores.std() / 3**0.5)
    ends = [NormalDist(0.5, error).inv_cdf(p) for p in (0.025, 0.975)]
    assert interval_of(0.5, error, 3, share=True) == pytest.approx(ends, abs=1e-6)
    assert interval_of(12.5, error, 3, share=False) == pytest.approx([12 + end for end in ends], abs=1e-6)
    assert interval_of(0.5, None, 3, share=True) is None
