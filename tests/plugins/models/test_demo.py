"""The demo on a recipe of tiny parts: runs through, skips, resumes, reruns what has changed."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import lightning
import pytest
import torch
import yaml

from anyloom import AnyToAnyModel
from anyloom.errors import CheckpointError, ConfigError
from anyloom.interfaces import ValueInfo
from anyloom.media import write_media
from anyloom.report import read_metrics
from anyloom.storage.tensors import read_tensors
from anyloom_mini.demo import command as demo
from anyloom_mini.demo.evaluation import Evaluation
from anyloom_mini.demo.measures import measures_of
from anyloom_mini.demo.page import cut_by_time
from anyloom_mini.demo.plans import make_plan
from anyloom_mini.demo.run_state import RunState, digest_of
from anyloom_mini.demo.stage_progress import StageProgress
from anyloom_mini.demo.stages import metric_files
from parts import image_decoder_options, model_options, picture

DECODER = image_decoder_options(space="conv-image", scale="standard", picture_size=8)
METRICS = {
    "feature": {"name": "feature-error"},
    "words": {"name": "caption-words", "attributes": {"hue": "(red|blue)"}},
}

EYE = {"name": "conv", "modality": "image", "size": 16, "grid": 8, "layout_dim": 6, "meaning_dim": 2, "widths": [8, 8]}
"""Registered, so that a recipe may begin with a saved model that has it."""


def conversations(folder: Path) -> Path:
    """Edits and captions about files in a folder."""
    lines = []
    for n in range(4):
        before, after = (write_media(picture(2 * n + i), folder / f"p{2 * n + i}").name for i in (0, 1))
        edit = [{"type": "text", "text": "make it blue <b>"}, {"type": "image", "path": before}]
        answer = [{"type": "image", "path": after}]
        lines.append(
            {"task": "edit", "messages": [{"role": "user", "content": edit}, {"role": "assistant", "content": answer}]}
        )
        ask = [{"type": "image", "path": before}, {"type": "text", "text": "what is this?"}]
        said = [{"role": "user", "content": ask}, {"role": "assistant", "content": "a red heart"}]
        lines.append({"task": "caption", "messages": said})
    file = folder / "data.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return file


@pytest.fixture
def recipe(tmp_path: Path, tokenizer_folder: Path) -> Path:
    file = str(conversations(tmp_path / "data"))
    model = model_options(tokenizer_folder, modalities=("image",))
    model["encoders"] = {"eye": EYE}
    model["decoders"] = {"painter": {**DECODER, "weights": "${variables.run}/painter"}}
    model["modalities"]["image"] = {"encoder": "eye", "decoder": "painter", "diffusion_weight": 0.0}
    sections: dict[str, Any] = {
        "model": model,
        "data": {"datasets": {"own": {"name": "conversations", "train": file, "val": file, "test": file}}},
        "trainer": {"accelerator": "cpu", "max_steps": 6, "log_every_n_steps": 1, "limit_val_batches": 0},
        "stages": {
            "painter": {
                "module": {"name": "latent-autoencoder", "decoder": DECODER},
                "result": "${variables.run}/painter",
                "data": {"batch_size": 4},
            },
            "model": {
                "result": "${variables.run}/model",
                "trainer": {"max_time": "00:00:05:00"},
                "data": {"batch_size": 2},
            },
        },
        "variables": {
            "run": "runs/none",
            "demo": {
                "title": "Tiny <model>",
                "summary": "One.\n\nTwo.",
                "stages": {"model": "the language model"},
                "tasks": {"edit": "Change a picture."},
                "headlines": [{"value": "feature/edit/relative", "label": "error of edits"}],
                "metrics": METRICS,
                "measured": 2,
                "shown": 1,
            },
        },
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")
    return path


def run(recipe: Path, *more: str) -> int:
    return demo.main(["--recipe", str(recipe), "--output", str(recipe.parent / "run"), *more])


def state(recipe: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((recipe.parent / "run" / "state.json").read_text(encoding="utf-8"))
    return found


class Outside(HTMLParser):
    """Collects addresses of other files."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [v for k, v in attrs if k in ("src", "href") and v and not v.startswith(("data:", "#"))]


class Interrupt(lightning.Callback):
    """The user's Ctrl-C after a step, once; notes the steps of all stages."""

    at = 0
    seen: ClassVar[list[int]] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any) -> None:
        self.seen.append(trainer.global_step)
        if trainer.global_step == Interrupt.at:
            Interrupt.at = 0
            raise KeyboardInterrupt


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> str:
    """The override that adds the callback."""
    module = ModuleType("interrupting")
    module.Interrupt = Interrupt  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "interrupting", module)
    monkeypatch.setattr(Interrupt, "__module__", "interrupting")
    Interrupt.at = 0
    Interrupt.seen.clear()
    return 'trainer.callbacks=[{"class_path": "interrupting.Interrupt"}]'


def test_runs_through_and_then_has_nothing_to_do(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(recipe) == 0
    said = capsys.readouterr().out
    assert "report.html" in said
    assert "error of edits" in said
    page = (recipe.parent / "run" / "report.html").read_text(encoding="utf-8")
    assert "Tiny &lt;model&gt;" in page
    assert "make it blue &lt;b&gt;" in page
    assert "what is this?" in page
    assert page.count("<svg") == 2
    parser = Outside()
    parser.feed(page)
    assert parser.addresses == []
    records = state(recipe)["stages"]
    assert [r["steps"] for r in records.values()] == [6, 6]
    assert all(r["memory"] > 2**20 and r["parameters"] > 100 and r["seconds"] > 0 for r in records.values())

    made = (recipe.parent / "run" / "report.html").stat().st_mtime_ns
    assert run(recipe) == 0
    said = capsys.readouterr().out
    assert said.count("done before, in") == 2
    assert "Everything was done before" in said
    assert state(recipe)["stages"] == records
    assert (recipe.parent / "run" / "report.html").stat().st_mtime_ns == made


def test_interrupted_stage_goes_on(recipe: Path, interrupt: str, capsys: pytest.CaptureFixture[str]) -> None:
    Interrupt.at = 4
    handler = signal.getsignal(signal.SIGINT)
    assert run(recipe, interrupt) == 130
    assert signal.getsignal(signal.SIGINT) is handler
    assert "to go on, run again:\n  anyloom demo --recipe" in capsys.readouterr().out
    assert state(recipe)["stages"]["painter"]["status"] == "started"
    assert Interrupt.seen == [1, 2, 3, 4]

    assert run(recipe, interrupt) == 0
    assert Interrupt.seen == [1, 2, 3, 4, 5, 6, *range(1, 7)]
    records = state(recipe)["stages"]
    done = [(r["status"], r["attempts"], r["steps"]) for r in records.values()]
    assert done == [("complete", 2, 6), ("complete", 1, 6)]
    plan = make_plan(str(recipe), [], recipe.parent / "run")
    logged = read_metrics(metric_files(plan, plan.stages[0]))["train/loss"]
    assert [step for step, _ in logged] == [0, 1, 2, 4, 5], "the interrupt came before step 3 was logged"
    assert not list((recipe.parent / "run").rglob("*.ckpt"))


def test_only_what_has_changed_and_what_builds_on_it_runs_again(
    recipe: Path, interrupt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recipe, interrupt) == 0
    Interrupt.seen.clear()
    sections = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    sections["stages"]["model"]["trainer"]["max_steps"] = 2
    recipe.write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")
    capsys.readouterr()
    assert run(recipe, interrupt) == 0
    assert Interrupt.seen == [1, 2]
    assert capsys.readouterr().out.count("done before, in") == 1

    Interrupt.seen.clear()
    shutil.rmtree(recipe.parent / "run" / "painter")
    assert run(recipe, interrupt) == 0
    assert Interrupt.seen == [*range(1, 7), 1, 2], "the model builds on the painter"


def test_quick_run_is_short_and_says_so(recipe: Path) -> None:
    assert run(recipe, "--quick") == 0
    assert [r["steps"] for r in state(recipe)["stages"].values()] == [3, 3]
    assert "smoke run" in (recipe.parent / "run" / "report.html").read_text(encoding="utf-8")


@pytest.fixture
def lesson(recipe: Path) -> Path:
    """A recipe that begins with a saved model, and that model."""
    assert run(recipe, "--quick") == 0
    made = recipe.parent / "run"
    AnyToAnyModel.from_pretrained(made / "model").save_pretrained(recipe.parent / "weights", dtype="float16")
    shutil.rmtree(made)
    data = {"datasets": {"own": {"name": "conversations", "test": str(recipe.parent / "data" / "data.jsonl")}}}
    taught = {"title": "New", "data": data, "metrics": {"new": {"name": "feature-error"}}, "task": "edit"}
    sections = {
        "defaults": ["recipe.yaml", "weights"],
        "stages": {"lesson": {"result": "${variables.run}/model", "data": {"batch_size": 2}}},
        "variables": {
            "demo": {
                "columns": ["after", "before"],
                "lesson": taught,
                "headlines": [{"value": "new/edit/relative", "label": "error of the lesson"}],
            }
        },
    }
    path = recipe.parent / "lesson.yaml"
    path.write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")
    return path


def test_a_lesson_trains_a_saved_model_further_and_compares(
    lesson: Path, interrupt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    Interrupt.at = 4
    assert run(lesson, interrupt) == 130
    assert run(lesson, interrupt) == 0
    assert Interrupt.seen == [1, 2, 3, 4, 5, 6]
    said = capsys.readouterr().out
    assert "error of the lesson: before " in said
    page = (lesson.parent / "run" / "report.html").read_text(encoding="utf-8")
    assert "New: before" in page
    assert page.index("New: before") < page.index("New: after")
    assert page.count("<svg") == 1
    before, after = (read_tensors(lesson.parent / f) for f in ("weights", "run/model"))
    changed = {n.split(".")[0] for n in before if not torch.allclose(before[n].float(), after[n])}
    assert changed == {"llm", "representations"}, "encoders and decoders stay"

    assert run(lesson, interrupt) == 0
    assert "Everything was done before" in capsys.readouterr().out
    weights = lesson.parent / "weights"
    shutil.rmtree(weights)
    AnyToAnyModel.from_pretrained(lesson.parent / "run" / "model").save_pretrained(weights, dtype="float16")
    Interrupt.seen.clear()
    assert run(lesson, interrupt) == 0
    assert Interrupt.seen == [1, 2, 3, 4, 5, 6], "other weights to begin with"


def test_without_shipped_weights_the_demo_says_that_it_trains_from_scratch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "shipped_weights", lambda recipe: None)
    assert demo._recipe(from_scratch=False) == "demo"
    assert "trained from scratch" in capsys.readouterr().out
    monkeypatch.setattr(demo, "shipped_weights", lambda recipe: Path("weights"))
    assert [demo._recipe(from_scratch=f) for f in (False, True)] == ["lesson", "demo"]
    assert capsys.readouterr().out == ""


def test_fresh_forgets_a_run_and_nothing_else(recipe: Path) -> None:
    folder = recipe.parent / "run"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="holds no run"):
        run(recipe, "--fresh")
    assert (folder / "thesis.tex").is_file()
    (folder / "state.json").write_text("{}")
    with pytest.raises(CheckpointError, match="--fresh"):
        run(recipe)


def test_state_survives_a_round_trip(tmp_path: Path) -> None:
    state = RunState.load(tmp_path / "state.json")
    state.put("a", replace(state.record("a"), status="started", digest="d", attempts=1))
    loaded = RunState.load(tmp_path / "state.json")
    assert loaded.stages == state.stages
    done = loaded.record("a").completed({"seconds": 2.0, "steps": 3})
    assert (done.status, done.steps, done.attempts) == ("complete", 3, 1)
    assert done.made != loaded.record("a").completed({}).made
    assert digest_of([1], tmp_path) != digest_of([2], tmp_path)


def test_plan_names_what_is_wrong(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="stages"):
        make_plan(str(recipe), ["stages=null"], tmp_path)
    with pytest.raises(ConfigError, match=r"stages\.model\.result"):
        make_plan(str(recipe), ["stages.model.result=null"], tmp_path)
    with pytest.raises(ConfigError, match=r"variables\.demo\.titel.*title"):
        make_plan(str(recipe), ["variables.demo.titel=x"], tmp_path)
    with pytest.raises(ConfigError, match=r"no variable is called 'dem'.*'demo'"):
        make_plan(str(recipe), ["variables.dem.title=x"], tmp_path)
    with pytest.raises(ConfigError, match="key=value"):
        run(recipe, "quick")


def test_a_stage_that_its_time_ended_is_told(recipe: Path, tmp_path: Path) -> None:
    plan = make_plan(str(recipe), ["trainer.max_steps=200"], tmp_path)
    state = RunState.load(tmp_path / "state.json")
    for stage in plan.stages:
        state.put(stage.name, state.record(stage.name).completed({"steps": 200}))
    assert cut_by_time(plan, state) == ""
    last = plan.stages[-1].name
    state.put(last, state.record(last).completed({"steps": 77}))
    assert f"The time limit ended {last} after 77 of 200 steps" in cut_by_time(plan, state)
    line = StageProgress("lesson", 0, 0, None, str(tmp_path / "cost.json"))
    trainer = lightning.Trainer(max_steps=200, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    assert "0 of 200 steps; its time was over" in line._done(trainer)


def test_tables_stand_beside_their_baselines() -> None:
    explained = {"hit": ValueInfo("Hits", "How many.")}
    trained = {
        "r/edit/k1/hit": 0.5,
        "r/edit/k1/hit_copying": 0.1,
        "r/edit/k1/count": 7.0,
        "r/edit/hit": 0.4,
        "r/edit/tone/k1/hit": 0.3,
    }
    found = Evaluation(trained=trained, before={"r/edit/k1/hit": 0.0}, measures={"r": explained, "s": explained})
    (table,) = measures_of(found)
    assert list(table.columns) == ["trained", "untrained", "copying the input"]
    assert [(r.label, list(r.values), r.count) for r in table.rows] == [
        ("edit", [0.4, None, None], 0),
        ("1 example", [0.5, 0.0, 0.1], 7),
    ]
    assert not table.folded
    assert measures_of(found, ["s/hit"])[0].folded
