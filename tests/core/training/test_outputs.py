"""Where a run writes: tried, locked, and never replaced by less."""

from __future__ import annotations

import copy
import os
import re
import resource
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import torch
import yaml

from anyloom.errors import AnyloomError, CheckpointError
from anyloom.storage.hashes import sha256
from anyloom.storage.locking import locked
from anyloom.training.answers import AnswerWriter
from anyloom.training.outside_errors import translated
from anyloom.training.run import run
from projects import sections

CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"


@pytest.mark.parametrize(
    "option",
    [
        {"fast_dev_run": True},
        {"limit_train_batches": 2},
        {"max_steps": 0},
        {"max_epochs": 0, "max_steps": -1},
        pytest.param({"fast_dev_run": 2}, marks=pytest.mark.slow),
        pytest.param({"overfit_batches": 1}, marks=pytest.mark.slow),
    ],
)
def test_a_trial_keeps_the_finished_result(
    tmp_path: Path, option: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    config = sections(tmp_path, max_steps=2)
    if "fast_dev_run" not in option:
        config["trainer"]["limit_val_batches"] = 0
    run("fit", copy.deepcopy(config))
    before = {p: sha256(p) for p in (tmp_path / "result").rglob("*") if p.is_file()}
    config["trainer"] |= option
    run("fit", config)
    assert {p: sha256(p) for p in (tmp_path / "result").rglob("*") if p.is_file()} == before
    nothing = " and no step was trained" if 0 in option.values() else ""
    assert f"trainer.{next(iter(option))} is set{nothing}, so the result there is kept" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "written"), [({"fast_dev_run": True}, False), ({"limit_train_batches": 2}, True)])
def test_where_there_is_none_a_trial_of_all_but_one_step_writes_its_own(
    tmp_path: Path, option: dict[str, Any], written: bool
) -> None:
    config = sections(tmp_path, max_steps=2)
    config["trainer"] |= option
    run("fit", config)
    assert (tmp_path / "result" / "config.json").exists() == written


@pytest.mark.parametrize("option", [{"max_steps": 0}, {"max_epochs": 0, "max_steps": -1}, {"limit_train_batches": 0}])
def test_what_no_step_has_trained_is_no_result(
    tmp_path: Path, option: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    config = sections(tmp_path, max_steps=2)
    config["trainer"] |= option
    run("fit", config)
    assert not (tmp_path / "result").exists()
    told = f"note: trainer.{next(iter(option))} is set and no step was trained, so nothing is written: "
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("place", ["result", "checkpoints"])
def test_a_place_that_cannot_be_written_is_found_before_the_first_step(tmp_path: Path, place: str) -> None:
    """A file where a folder should be stops the super-user too, for whom permissions do not count."""
    config = sections(tmp_path)
    (tmp_path / "file").write_text("")
    if place == "result":
        config["result"] = str(tmp_path / "file" / "result")
    else:
        options = {"dirpath": str(tmp_path / "file" / "checkpoints"), "every_n_train_steps": 1}
        config["trainer"]["callbacks"] = [{"class_path": CHECKPOINT, "init_args": options}]
    with pytest.raises(AnyloomError, match="cannot be written"):
        run("fit", config)
    assert not list(tmp_path.rglob("metrics.csv"))


@pytest.mark.parametrize("place", ["result", "checkpoints"])
def test_too_little_room_is_found_before_the_first_step(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    config = sections(tmp_path)
    if place == "result":
        config["trainer"]["enable_checkpointing"] = False
    else:
        config["result"] = None
        options = {"dirpath": str(tmp_path / "checkpoints"), "every_n_train_steps": 1}
        config["trainer"]["callbacks"] = [{"class_path": CHECKPOINT, "init_args": options}]
    with pytest.raises(CheckpointError, match=f"{place}: .* are needed here, 0.0 GB are free"):
        run("fit", config)


HOLD = """
    import sys
    from pathlib import Path
    from anyloom.storage.locking import locked
    with locked(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
"""


@pytest.mark.parametrize("place", ["result", "checkpoints"])
def test_two_runs_in_one_folder_are_one_error(tmp_path: Path, place: str) -> None:
    config = sections(tmp_path, max_steps=1)
    options = {"dirpath": str(tmp_path / "checkpoints"), "every_n_train_steps": 1}
    config["trainer"]["callbacks"] = [{"class_path": CHECKPOINT, "init_args": options}]
    command = [sys.executable, "-c", textwrap.dedent(HOLD), str(tmp_path / place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(CheckpointError, match=rf"{place}: another run writes here \(process {other.pid} on"):
            run("fit", copy.deepcopy(config))
        other.kill()
    run("fit", config)
    assert not list(tmp_path.glob(".*.lock"))


def test_a_lock_ends_with_its_block_and_files_of_dead_owners_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / ".result.lock").write_text("process 1 on moon")
    for _ in range(2):
        with locked(tmp_path / "result"):
            assert f"process {os.getpid()} on" in (tmp_path / ".result.lock").read_text()
    assert not list(tmp_path.iterdir())


def test_drafts_of_killed_writers_are_swept_from_the_checkpoints(tmp_path: Path) -> None:
    config = sections(tmp_path, max_steps=1)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / ".last.ckpt.abc.draft").write_text("half")
    (folder / "mine.txt").write_text("kept")
    options = {"dirpath": str(folder), "every_n_train_steps": 1, "save_top_k": 0, "save_last": True}
    config["trainer"]["callbacks"] = [{"class_path": CHECKPOINT, "init_args": options}]
    run("fit", config)
    assert sorted(p.name for p in folder.iterdir()) == ["last.ckpt", "last.ckpt.sha256", "mine.txt"]


def test_a_time_span_can_be_configured_with_a_logger_on(tmp_path: Path) -> None:
    import datetime

    config = sections(tmp_path, max_steps=1)
    options = {"dirpath": str(tmp_path / "checkpoints"), "train_time_interval": datetime.timedelta(seconds=30)}
    config["trainer"]["callbacks"] = [{"class_path": CHECKPOINT, "init_args": options}]
    run("fit", config)
    (written,) = tmp_path.rglob("config.yaml")
    again = yaml.safe_load(written.read_text())
    assert again["trainer"]["callbacks"][0]["init_args"]["train_time_interval"] == "0:00:30"
    run("fit", {**again, "result": str(tmp_path / "second")})


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("val_check_interval", 10, r"trainer.*val_check_interval"),
        ("val_check_interval", 4.5, r"trainer.*val_check_interval"),
        ("limit_train_batches", 0.01, r"trainer: .*limit_train_batches"),
        ("check_val_every_n_epoch", 0.5, "check_val_every_n_epoch"),
    ],
)
def test_a_trainer_option_that_does_not_fit_the_data_is_one_error(
    tmp_path: Path, option: str, value: Any, message: str
) -> None:
    config = sections(tmp_path)
    config["trainer"][option] = value
    with pytest.raises(AnyloomError, match=message):
        run("fit", config)


def test_two_predictions_into_one_folder_are_one_error(tmp_path: Path) -> None:
    trainer: Any = SimpleNamespace(is_global_zero=True, global_rank=0)
    first, second, module = AnswerWriter(tmp_path / "a"), AnswerWriter(tmp_path / "a"), lightning.LightningModule()
    first.on_predict_start(trainer, module)
    with pytest.raises(CheckpointError, match="another run writes here"):
        second.on_predict_start(trainer, module)
    first.on_exception(trainer, module, KeyboardInterrupt())
    second.on_predict_start(trainer, module)
    second.teardown(trainer, module, "predict")
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["answers-0.jsonl.partial"]


@pytest.mark.parametrize("what", ["result", "logs"])
def test_a_disk_that_fills_up_in_the_midst_keeps_the_old_result(tmp_path: Path, what: str) -> None:
    """The kernel refuses to let any file grow beyond a limit, which the weights, or the logs too, need more than."""
    config = sections(tmp_path, max_steps=2)
    config["trainer"]["enable_checkpointing"] = False
    run("fit", copy.deepcopy(config))
    before = {p: sha256(p) for p in (tmp_path / "result").rglob("*") if p.is_file()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000 if what == "result" else 100, hard))
    try:
        with pytest.raises(CheckpointError, match=r"cannot be written .*(too large|full)"):
            run("fit", config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {p: sha256(p) for p in (tmp_path / "result").rglob("*") if p.is_file()} == before


def memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def allocator() -> None:
    torch.empty(2**60)


def worker() -> None:
    raise RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")


def log_disk() -> None:
    raise OSError(28, "No space left on device", "/logs/metrics.csv")


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        (memory, r"does not fit into memory .*lower data\.batch_size"),
        (allocator, "does not fit into memory"),
        (worker, r"data\.workers: a data worker died"),
        (log_disk, r"/logs/metrics\.csv: cannot be written .*make room"),
    ],
)
def test_what_has_a_cause_outside_is_one_clear_error(fails: Any, message: str) -> None:
    with pytest.raises(Exception) as caught:
        fails()
    clear = translated(caught.value)
    assert isinstance(clear, AnyloomError)
    assert re.search(message, str(clear))


def test_a_bug_keeps_its_traceback() -> None:
    for error in (KeyError("x"), ValueError("x"), RuntimeError("mat1 and mat2 shapes cannot be multiplied")):
        assert translated(error) is None
