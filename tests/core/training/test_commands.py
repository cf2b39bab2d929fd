"""fit, validate, test and predict, through the command line's own entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from lightning.pytorch.callbacks import Timer

from anyloom import AnyToAnyModel
from anyloom.checking.preflight import look_over
from anyloom.checking.trainer_options import trainer_problems
from anyloom.cli.main import main
from anyloom.config.compose import compose
from anyloom.errors import AnyloomError, ConfigError
from anyloom.media import conversation_from_json
from anyloom.training.console import without_noise
from anyloom.training.optimizer import progress
from anyloom.training.run import run
from parts import image_decoder_options
from projects import sections, write_config

TESTS = Path(__file__).parents[2]


def metrics(folder: Path) -> list[Path]:
    return sorted((folder / "run" / "csv").glob("*/metrics.csv"))


def test_the_four_commands_in_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_decoder = sections(tmp_path, max_steps=2)
    with_decoder["model"]["decoders"] = {"brush": image_decoder_options()}
    with_decoder["model"]["modalities"]["image"]["decoder"] = "brush"
    config = write_config(tmp_path, with_decoder)

    assert main(["fit", config]) == 0
    assert {p.name for p in (tmp_path / "result").iterdir()} >= {"config.json", "model.safetensors"}
    saved = metrics(tmp_path)[0].with_name("config.yaml")
    assert yaml.safe_load(saved.read_text()) == with_decoder
    assert compose([saved]) == compose([config])
    assert "train/diffusion/image" in metrics(tmp_path)[0].read_text()

    for command, stage in (("validate", "val"), ("test", "test")):
        assert main([command, config]) == 0
        header, values = metrics(tmp_path)[-1].read_text().splitlines()
        assert {f"{stage}/loss", f"{stage}/text", f"{stage}/feature/audio"} <= set(header.split(","))
        assert values

    assert main(["predict", config, "--output", str(tmp_path / "answers")]) == 0
    assert "wrote 3 answers" in capsys.readouterr().out
    lines = (tmp_path / "answers" / "answers.jsonl").read_text().splitlines()
    answers = [conversation_from_json(json.loads(line), root=tmp_path / "answers") for line in lines]
    assert [a.messages[-1].role for a in answers] == ["assistant"] * 3
    pictures = [m for a in answers for m in a.messages[-1].media]
    assert [m.modality for m in pictures] == ["image", "image"]  # lines 0 and 2 ask for one; sounds have no decoder
    assert all(Path(m.path).is_file() and m.tensor().shape == (3, 16, 16) for m in pictures)
    assert [p.name for p in (tmp_path / "answers").glob("*.partial")] == []


def test_validate_measures_what_fit_has_written(tmp_path: Path) -> None:
    config = sections(tmp_path, max_steps=3)
    run("validate", config)
    run("fit", config)
    run("validate", config)
    before, after = (
        dict(zip(*(line.split(",") for line in p.read_text().splitlines())))
        for p in (metrics(tmp_path)[0], metrics(tmp_path)[-1])
    )
    assert float(after["val/loss"]) < float(before["val/loss"])


def test_a_real_process_trains_with_progress_and_without_stray_warnings(tmp_path: Path) -> None:
    config = sections(tmp_path, max_steps=2)
    trainer = config["trainer"]
    del trainer["enable_progress_bar"], trainer["enable_model_summary"]
    board = {"class_path": "lightning.pytorch.loggers.TensorBoardLogger", "init_args": {"save_dir": str(tmp_path)}}
    trainer["logger"].append(board)
    checkpoint = {"dirpath": str(tmp_path / "checkpoints"), "save_last": True}
    trainer["callbacks"] = [{"class_path": "ModelCheckpoint", "init_args": checkpoint}]
    done = anyloom(["fit", write_config(tmp_path, config)], tmp_path)
    assert done.returncode == 0, done.stderr
    shown = done.stdout + done.stderr
    assert "train/loss" in shown
    assert "2/2" in shown
    assert "arning" not in shown
    assert "Tip" not in shown
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
    assert list(tmp_path.rglob("events.out.tfevents.*"))


def anyloom(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "anyloom.cli.main", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_train_on_their_own_shares_and_agree(tmp_path: Path) -> None:
    config = sections(tmp_path, max_steps=2)
    config["trainer"] |= {"devices": 2, "callbacks": [{"class_path": "projects.SampleRecorder"}]}
    path = write_config(tmp_path, config)
    done = anyloom(["fit", path], tmp_path)
    assert done.returncode == 0, done.stderr
    seen = [json.loads((tmp_path / "run" / f"seen-{rank}.json").read_text()) for rank in range(2)]
    assert [len(s["samples"]) for s in seen] == [4, 4]
    assert not set(seen[0]["samples"]) & set(seen[1]["samples"])
    assert seen[0]["weights"] == seen[1]["weights"]
    assert AnyToAnyModel.from_pretrained(tmp_path / "result", trust=True)

    done = anyloom(["predict", path, "--output", str(tmp_path / "answers")], tmp_path)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "answers" / "answers.jsonl").read_text().splitlines()
    assert [json.loads(line)["index"] for line in lines] == [0, 1, 2]
    assert [json.loads(line)["task"] for line in lines] == ["task-0", "task-1", "task-0"]


def test_print_config_prints_what_would_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, {**sections(tmp_path), "stages": {"a": {"trainer": {"max_steps": 1}}}})
    assert main(["fit", config, "--stage", "a", "data.batch_size=7", "--print-config"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["data"]["batch_size"] == 7
    assert shown["trainer"]["max_steps"] == 1
    assert "stages" not in shown


def test_all_stages_run_in_turn_and_start_from_one_another(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    stages: dict[str, Any] = {
        "one": {"result": str(first), "trainer": {"max_steps": 1}},
        "two": {"result": str(second), "trainer": {"max_steps": 2}, "module": {"start_from": str(first)}},
    }
    config = write_config(tmp_path, {**sections(tmp_path), "stages": stages})
    assert main(["fit", config, "--stage", "all"]) == 0
    assert (first / "model.safetensors").is_file()
    assert (second / "model.safetensors").is_file()
    assert not (tmp_path / "result").exists()


def staged(folder: Path) -> str:
    """Two stages, the later of which starts from the earlier one's result."""
    first, second = folder / "first", folder / "second"
    stages: dict[str, Any] = {
        "one": {"result": str(first), "trainer": {"max_steps": 1}},
        "two": {"result": str(second), "trainer": {"max_steps": 2}, "module": {"start_from": str(first)}},
    }
    return write_config(folder, {**sections(folder), "result": None, "stages": stages})


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
@pytest.mark.parametrize("words", [[], ["--stage", "two"]])
def test_a_recipe_that_is_not_trained_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, words: list[str]
) -> None:
    assert main([command, staged(tmp_path), *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: stages: ")
    assert "has been trained yet" in line or "has not been trained yet" in line


def test_the_last_trained_stage_is_used_with_what_it_has_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Any] = []
    config = staged(tmp_path)
    monkeypatch.setattr("anyloom.training.run._CommandLine", lambda project, module, **_: used.append(module))
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        assert main(["test", config]) == 0
    assert main(["test", config, "--stage", "one"]) == 0
    assert [Path(module["start_from"]).name for module in used] == ["first", "second", "first"]
    assert capsys.readouterr().err.splitlines() == ["stage: one", "stage: two"]


def test_a_stage_that_cannot_read_its_result_says_so(tmp_path: Path) -> None:
    config = sections(tmp_path)
    (tmp_path / "result").mkdir()
    config["module"] = {"name": "conv-encoder", "encoder": {"name": "conv"}}
    with pytest.raises(ConfigError, match="cannot read its result"):
        run("test", config)


def test_kept_features_need_frozen_encoders_and_no_workers(tmp_path: Path) -> None:
    config = sections(tmp_path)
    config["module"]["cache_features"] = True
    config["model"]["encoders"]["eye"]["freeze"] = False
    for problems in (look_over([config]).problems, _raised(config)):
        (problem,) = problems
        assert problem.where == "module.cache_features"
        assert "'eye' is trained" in problem.what
    config["model"]["encoders"]["eye"]["freeze"] = True
    config["data"]["workers"] = 1
    (problem,) = _raised(config)
    assert problem.where == "module.cache_features"
    assert "data.workers is 1" in problem.what


def test_features_on_disk_are_read_by_workers_and_by_the_next_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = sections(tmp_path)
    config["module"]["cache_features"] = str(tmp_path / "kept")
    config["data"]["workers"] = 1
    findings = look_over([config])
    assert not findings.problems
    assert [n for n in findings.notes if "features are kept in" in n and "at most 50 GB" in n]
    told = []
    for name in ("one", "two"):
        run("fit", {**config, "result": str(tmp_path / name)})
        told.append([line for line in capsys.readouterr().err.splitlines() if "features: " in line])
    assert "0 encoded" not in told[0][0]
    assert told[1]
    assert all(line.endswith(", 0 encoded") for line in told[1])
    ledgers = sorted(tmp_path.rglob("ledger.json"), key=lambda path: path.stat().st_mtime_ns)
    counts = [json.loads(path.read_text())["features"] for path in ledgers]
    assert [c["encoded"] > 0 for c in counts] == [True, False]
    entry = next((tmp_path / "kept").rglob("*.safetensors"))
    entry.write_bytes(entry.read_bytes()[:-1])
    run("fit", {**config, "result": str(tmp_path / "three")})
    newest = max(tmp_path.rglob("ledger.json"), key=lambda path: path.stat().st_mtime_ns)
    assert json.loads(newest.read_text())["features"] == {"read": counts[1]["read"] - 1, "encoded": 1, "broken": 1}


def _raised(config: dict[str, Any]) -> list[AnyloomError]:
    with pytest.raises(ConfigError) as caught:
        run("fit", config)
    return list(caught.value.parts)


def test_a_run_without_a_logger_writes_no_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = sections(tmp_path, max_steps=1)
    config["trainer"] |= {"logger": False, "enable_checkpointing": False}
    run("fit", config)
    assert not list(tmp_path.rglob("config.yaml"))


@pytest.mark.parametrize(
    ("override", "key", "message"),
    [
        ("trainer.max_stps=3", "trainer.max_stps", "did you mean 'max_steps'"),
        ("trainer.max_steps=many", "trainer.max_steps", "expected int, got 'many'"),
        ("trainer.strategy=nonsense", "trainer", "strategy"),
        ("trainer.callbacks=[{class_path: ModelCheckpoint, init_args: {dir: x}}]", "trainer.callbacks.0", "'dirpath'"),
        ("data.batch_size=0", "data.batch_size", "greater than 0"),
        ("data.batch_size=100", "data.batch_size", "do not fill one batch"),
        ("data.datasets.small.tarin=x", "data.datasets.small.tarin", "did you mean 'train'"),
        ("module.optimizer.lrr=1", "module.optimizer.lrr", "did you mean 'lr'"),
        ("module.name=any2any", "module", "did you mean 'any-to-any'"),
        ("model.llm.architecture.model_type=lama", "model.llm.architecture.model_type", "did you mean 'llama'"),
        ("ckpt_path=nowhere.ckpt", "ckpt_path", "no checkpoint"),
    ],
)
def test_a_mistake_is_one_line_with_its_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], override: str, key: str, message: str
) -> None:
    assert main(["fit", write_config(tmp_path, sections(tmp_path)), override]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert lines[0].startswith(f"error: {key}")
    assert message in lines[0]


def test_several_mistakes_are_shown_together(tmp_path: Path) -> None:
    config = sections(tmp_path)
    config["trainer"]["max_stps"] = 1
    config["data"]["batch_size"] = -1
    config["modle"] = {}
    with pytest.raises(ConfigError) as caught:
        run("fit", config)
    assert [p.where for p in caught.value.parts] == ["data.batch_size", "modle", "trainer.max_stps"]


@pytest.mark.parametrize("strategy", ["fsdp", "fsdp_cpu_offload", "FSDPStrategy"])
@pytest.mark.parametrize("form", ["name", "class"])
def test_the_first_form_of_fsdp_is_refused_in_one_line(strategy: str, form: str) -> None:
    value = strategy if form == "name" else {"class_path": f"lightning.pytorch.strategies.{strategy}"}
    (problem,) = trainer_problems({"strategy": value})
    assert problem.where == "trainer.strategy"
    assert "fsdp2, or ddp" in problem.fix


@pytest.mark.parametrize(
    "value", ["deepspeed_stage_3", {"class_path": "lightning.pytorch.strategies.DeepSpeedStrategy"}]
)
def test_deepspeed_that_is_not_installed_is_said_in_a_line(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    (problem,) = trainer_problems({"strategy": value})
    assert problem.where == "trainer.strategy"
    assert "not installed" in problem.what
    assert "fsdp2" in problem.fix


def test_every_process_follows_the_clock_of_the_first() -> None:
    timer = Timer(duration={"seconds": 10})
    timer.time_elapsed = lambda *_: 4.0  # type: ignore[method-assign]
    strategy = SimpleNamespace(broadcast=lambda share: share / 2)
    trainer: Any = SimpleNamespace(
        estimated_stepping_batches=100, global_step=1, callbacks=[timer], world_size=1, strategy=strategy
    )
    assert progress(trainer) == pytest.approx(0.4)
    trainer.world_size = 2
    assert progress(trainer) == pytest.approx(0.2)


@pytest.mark.parametrize(
    "options",
    [
        {"max_time": {"minutes": 3}, "precision": "bf16-mixed", "limit_val_batches": None},
        {"logger": False, "callbacks": None},
        {"strategy": {"class_path": "DDPStrategy", "init_args": {"find_unused_parameters": True}}},
        {"callbacks": {"class_path": "LearningRateMonitor"}},
    ],
)
def test_what_lightning_takes_is_no_problem(options: dict[str, Any]) -> None:
    with without_noise():
        assert trainer_problems(options) == []
