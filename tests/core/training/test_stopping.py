"""Signals to a real process: what it exits with, what it leaves."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from projects import sections, write_config

TESTS = Path(__file__).parents[2]
CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"


def endless(folder: Path) -> str:
    config = sections(folder, max_steps=-1)
    options = {"dirpath": str(folder / "checkpoints"), "every_n_epochs": 1000, "save_last": True}
    config["trainer"] |= {"callbacks": [{"class_path": CHECKPOINT, "init_args": options}], "max_epochs": -1}
    return write_config(folder, config)


def started(
    folder: Path, *words: str, config: str = "", begun: str = "metrics.csv", **environment: str
) -> subprocess.Popen[str]:
    """A training process that has begun to train."""
    command = [sys.executable, "-m", "anyloom.cli.main", "fit", config or endless(folder), *words]
    process = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1", **environment},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while not list(folder.rglob(begun)) and time.monotonic() < end and process.poll() is None:
        time.sleep(0.2)
    return process


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, text = process.communicate(timeout=60)
    return process.returncode, text


@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGINT", marks=pytest.mark.slow)])
def test_a_signal_saves_and_exits_with_its_status(tmp_path: Path, name: str) -> None:
    process = started(tmp_path)
    number = getattr(signal, name)
    process.send_signal(number)
    status, text = ended(process)
    assert status == 128 + number, text
    assert "Traceback" not in text
    path = tmp_path / "checkpoints" / "last.ckpt"
    assert f"go on with: ckpt_path={path}" in text
    kept = torch.load(path, weights_only=True)
    assert kept["global_step"] > 0
    assert not (tmp_path / "result").exists()


def test_a_batch_that_does_not_end_in_time_is_not_waited_for(tmp_path: Path) -> None:
    config = sections(tmp_path, max_steps=9)
    options = {"dirpath": str(tmp_path / "checkpoints"), "every_n_train_steps": 1, "save_last": True}
    callbacks = [{"class_path": CHECKPOINT, "init_args": options}, {"class_path": "projects.LongBatch"}]
    config["trainer"] |= {"callbacks": callbacks}
    config["faults"] = {"grace": 1}
    process = started(tmp_path, config=write_config(tmp_path, config), begun="long")
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    status, text = ended(process)
    assert status == 128 + signal.SIGTERM, text
    assert time.monotonic() - begun < 30
    assert "did not end within 1 s (faults.grace)" in text
    assert "Traceback" not in text
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 2


@pytest.mark.slow
def test_the_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    process = started(tmp_path)
    begun = time.monotonic()
    for _ in range(2):
        process.send_signal(signal.SIGINT)
    status, _ = ended(process)
    assert status == 130
    assert time.monotonic() - begun < 30
    for path in (tmp_path / "checkpoints").glob("*.ckpt"):
        torch.load(path, weights_only=True)


@pytest.mark.slow
def test_a_scheduler_s_signal_puts_the_job_back(tmp_path: Path) -> None:
    """The scheduler's command is one of our own that writes down what it was called with."""
    command = tmp_path / "bin" / "scontrol"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    environment: dict[str, Any] = {"SLURM_JOB_ID": "4711", "PATH": f"{command.parent}:{os.environ['PATH']}"}
    process = started(tmp_path, **environment)
    process.send_signal(signal.SIGUSR1)
    status, text = ended(process)
    assert status == 128 + signal.SIGUSR1, text
    assert (tmp_path / "asked").read_text() == "requeue 4711\n"
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
