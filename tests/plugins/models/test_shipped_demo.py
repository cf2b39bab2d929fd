"""The demo that ships: its presentation fits its recipe, and a smoke run of it goes through."""

from __future__ import annotations

from pathlib import Path

import pytest

from anyloom.building import build_named
from anyloom_mini.demo import command as demo
from anyloom_mini.demo.plans import make_plan


def test_presentation_fits_the_recipe(tmp_path: Path) -> None:
    plan = make_plan("demo", [], tmp_path)
    settings = plan.settings
    assert [s.name for s in plan.stages] == list(settings.stages)
    assert all(s.seconds and s.summary for s in plan.stages)
    assert plan.seconds <= 12 * 60
    metrics = {k: build_named("metric", v, where=k) for k, v in settings.metrics.items()}
    for name in (*settings.tables, *(h.value for h in settings.headlines)):
        assert name.split("/")[-1] in metrics[name.split("/")[0]].measures, name
    datasets = [build_named("dataset", d, where="data") for d in settings.data["datasets"].values()]
    tasks = {s.task for d in datasets for s in d.build(settings.split)}
    assert tasks == set(settings.tasks)
    assert {t for v in settings.metrics.values() for t in v.get("tasks", ())} <= tasks


@pytest.mark.slow
@pytest.mark.parametrize(("options", "curves"), [([], 1), (["--from-scratch"], 8)])
def test_smoke_run(options: list[str], curves: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["--quick", *options, "--output", str(tmp_path / "run")]) == 0
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == curves
    assert "(a feature only" not in page
    assert str(tmp_path / "run" / "report.html") in capsys.readouterr().out
