"""The suite and the lesson that ship fit what they name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from anyloom.building import build_named
from anyloom.cli.model_argument import shipped_weights
from anyloom.config.compose import compose
from anyloom.config.packages import recipe_path
from anyloom.evaluation.draw import pick
from anyloom.evaluation.results import named_parts
from anyloom.evaluation.suite import Suite, read_suite, suites
from anyloom.interfaces import Sample
from anyloom_incontext.provenance import groups_of, query_of
from anyloom_mini.demo.plans import make_plan


@pytest.fixture(scope="module")
def suite() -> Suite:
    return read_suite("in-context", ["suite.queries=10"])


@pytest.fixture(scope="module")
def samples(suite: Suite) -> list[Sample]:
    few = [{**suite.data["datasets"]["starter"]}, {**suite.data["datasets"]["sweep"], "num_queries": 3}]
    return [s for options in few for s in build_named("dataset", options, where="data").build(suite.split)]


def test_it_is_found_and_asks_enough() -> None:
    assert "in-context" in suites()
    assert read_suite("in-context").queries >= 300


def test_numbers_of_examples_are_compared_on_equal_queries_of_all_families(suite: Suite, samples: list[Sample]) -> None:
    chosen = [s for s in pick(samples, suite.queries, 0) if s.task == "exemplar"]
    asked = {k: [query_of(s) for s in chosen if s.provenance["k"] == k] for k in (0, 1, 2, 4)}
    assert len(set(asked[0])) == suite.queries
    assert asked[0] == asked[1] == asked[2] == asked[4]
    families = [s.provenance["family"] for s in chosen if s.provenance["k"] == 1]
    assert {f: families.count(f) for f in families} == dict.fromkeys(
        ("style", "tone", "gender", "geometry", "colour"), 2
    )


def test_everything_that_is_shown_is_measured(suite: Suite, samples: list[Sample]) -> None:
    metrics = {k: build_named("metric", v, where=k) for k, v in suite.metrics.items()}
    groups = {k: {g for s in samples if m.wants(s) for g in groups_of(s)} for k, m in metrics.items()}
    groups["words"] |= {f"{s.task}/{w}" for s in samples for w in s.provenance.get("words", ())}
    names = [c.replace("{}", g) for t in suite.tables for g in t.rows.values() for c in t.columns.values()]
    names += [h.value for h in suite.headlines]
    names += [
        f"{c.value.split('/')[0]}/{g}/{c.value.split('/')[1]}" for c in suite.comparisons for g in (c.better, c.than)
    ]
    for name in names:
        metric, group, value = named_parts(name)
        assert group in groups[metric], name
        assert (
            value in metrics[metric].measures
            or value.removesuffix("_copying").removesuffix("_arithmetic") in metrics[metric].measures
        ), name
    assert {s.task for s in samples} <= set(suite.tasks)
    assert set(suite.limits) <= {s.task for s in samples}


def test_the_sweep_shows_the_same_queries_with_up_to_eight_examples(suite: Suite, samples: list[Sample]) -> None:
    for modality in ("image", "audio", "video"):
        own = [s for s in pick(samples, 10, 0) if s.task == f"{modality}-in-context"]
        by_k = {k: [query_of(s) for s in own if s.provenance["k"] == k] for k in (0, 1, 2, 4, 8)}
        assert len(by_k[0]) == len(set(by_k[0])) == 6
        assert all(queries == by_k[0] for queries in by_k.values())
        assert {s.provenance["family"] for s in own} == {"seen", "unseen"}
        for s in own:
            subjects, about = set(s.provenance["example_subjects"]), s.provenance["subjects"][0]
            assert len(subjects) == s.provenance["k"]
            assert about not in subjects
            (target,) = s.conversation.messages[-1].media
            assert {target.key, s.provenance["source"]} <= set(s.provenance["candidates"])
            assert target.modality == modality


def test_the_lesson_is_about_an_edit_that_the_weights_never_saw(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(shipped_weights("mini"), weights)
    sections = yaml.safe_load(recipe_path("lesson").read_text(encoding="utf-8"))
    assert sections["defaults"] == ["demo.yaml", "weights"]
    (tmp_path / "lesson.yaml").write_text(yaml.safe_dump({**sections, "defaults": ["demo", "weights"]}))
    plan = make_plan(str(tmp_path / "lesson.yaml"), [], tmp_path / "run")
    (stage,) = plan.stages
    assert plan.start == weights
    assert plan.seconds <= 4 * 60
    assert stage.sections["module"]["start_from"] == str(weights)
    taught, known = (stage.sections["data"]["datasets"][k] for k in ("new", "starter"))
    (new,) = taught["pixel_edits"]
    assert new not in compose(["mini"])["variables"]["conversations"]["pixel_edits"]
    assert new not in known["pixel_edits"]
    lesson = plan.settings.lesson
    assert lesson is not None
    builder = build_named("dataset", lesson.data["datasets"]["new"], where="data")
    assert {s.provenance["operation"] for s in builder.build("test")} == {new}
    metrics = {k: build_named("metric", v, where=k) for k, v in {**plan.settings.metrics, **lesson.metrics}.items()}
    assert set(plan.settings.metrics).isdisjoint(lesson.metrics)
    for name in (*plan.settings.tables, *(h.value for h in plan.settings.headlines)):
        assert name.split("/")[-1] in metrics[name.split("/")[0]].measures, name
