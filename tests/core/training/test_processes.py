"""Two real processes: faults of one of them, and splits that are smaller than their number."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom.storage.tensors import read_tensors
from anyloom.training.outside_errors import translated
from core.training.test_exact_resume import values
from forked import anyloom
from projects import sections, write_config, write_conversations

TESTS = Path(__file__).parents[2]
CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"
pytestmark = [pytest.mark.ddp, pytest.mark.slow]


def two(folder: Path, **trainer: Any) -> dict[str, Any]:
    config = sections(folder, max_steps=trainer.pop("max_steps", 2))
    options = {"dirpath": str(folder / "checkpoints"), "every_n_train_steps": 1, "save_last": True}
    callbacks = [{"class_path": CHECKPOINT, "init_args": options}, *trainer.pop("callbacks", [])]
    config["trainer"] |= {"devices": 2, "callbacks": callbacks} | trainer
    return config


@contextmanager
def started(folder: Path, command: str, config: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    """A run in a session of its own, of which nothing is left in the end."""
    with (folder / "shown").open("wb") as shown:
        process = subprocess.Popen(
            [sys.executable, "-m", "anyloom.cli.main", command, write_config(folder, config)],
            env={**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"},
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=shown,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ended(process: subprocess.Popen[bytes], folder: Path, seconds: float = 240) -> tuple[int, str]:
    return process.wait(seconds), (folder / "shown").read_text()


def ran(folder: Path, command: str, config: dict[str, Any]) -> tuple[int, str]:
    with started(folder, command, config) as process:
        return ended(process, folder)


def rank_one(process: subprocess.Popen[bytes]) -> int:
    """The process that the first one has started."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
            if parent == process.pid and b"anyloom" in (entry.parent / "cmdline").read_bytes():
                return int(entry.parent.name)
    raise AssertionError("there is no second process")


def begun(folder: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 180
    while not list(folder.rglob("last.ckpt")) and time.monotonic() < end and process.poll() is None:
        time.sleep(0.2)


@pytest.mark.parametrize("count", [1, 3])
def test_a_validation_split_smaller_than_the_processes_is_validated(tmp_path: Path, count: int) -> None:
    config = two(tmp_path)
    few = str(write_conversations(tmp_path / "data", "one.jsonl", count))
    config["data"]["datasets"]["small"] |= {"val": few, "test": few}
    path = write_config(tmp_path, config)
    for command in ("fit", "predict", "validate", "test"):
        statuses, text = anyloom(command, path, folder=tmp_path, processes=2)
        assert statuses == [0, 0], text
    assert len((tmp_path / "predictions" / "answers.jsonl").read_text().splitlines()) == count


def test_a_bad_gradient_of_one_process_stops_both_with_its_samples(tmp_path: Path) -> None:
    config = two(tmp_path, callbacks=[{"class_path": "projects.PoisonedRank"}], max_steps=3)
    status, text = ran(tmp_path, "fit", config)
    assert status != 0
    assert "Traceback" not in text, text
    assert "samples: " in text
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 1
    assert not (tmp_path / "result").exists()


def test_a_signal_to_one_process_saves_and_ends_both(tmp_path: Path) -> None:
    with started(tmp_path, "fit", two(tmp_path, max_steps=100_000, max_epochs=-1)) as process:
        begun(tmp_path, process)
        process.send_signal(signal.SIGTERM)
        status, text = ended(process, tmp_path)
    assert status == 128 + signal.SIGTERM, text
    assert "go on with: ckpt_path=" in text
    kept = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert len(kept["random_state"]) == 2


@pytest.mark.parametrize(("strategy", "times"), [("ddp", 2), ("fsdp2", 1)])
def test_processes_that_are_killed_at_random_points_end_bit_equal(tmp_path: Path, strategy: str, times: int) -> None:
    """Kills of either process, drawn by a seed; what two unbroken processes learn comes of it, bit for bit."""
    draw, results = random.Random(16), {}
    cuts = [(draw.randrange(2), draw.randrange(3)) for _ in range(times)]
    for group, (name, kills) in enumerate((("whole", []), ("cut", cuts))):
        (tmp_path / name).mkdir()
        config = two(tmp_path / name, strategy=strategy, max_steps=8)
        config["data"]["batch_size"] = 1
        config["faults"] = {"timeout": 60}
        for rank, batch in kills:
            stop = {"class_path": "projects.KilledRank", "init_args": {"batch": batch, "rank": rank}}
            trainer = {**config["trainer"], "callbacks": [stop, *config["trainer"]["callbacks"]]}
            path = write_config(tmp_path / name, {**config, "trainer": trainer})
            statuses, text = anyloom("fit", path, folder=tmp_path / name, processes=2, group=group)
            assert statuses[rank] == -signal.SIGKILL, text
            assert statuses[1 - rank] > 0, text
            config["ckpt_path"] = "last"
        path = write_config(tmp_path / name, config)
        statuses, text = anyloom("fit", path, folder=tmp_path / name, processes=2, group=group)
        assert statuses == [0, 0], text
        results[name] = read_tensors(tmp_path / name / "result")
    assert all(torch.equal(tensor, results["cut"][key]) for key, tensor in results["whole"].items())
    losses = [values(tmp_path / name, "train/loss") for name in ("whole", "cut")]
    assert losses[0]
    assert losses[0].items() <= losses[1].items()


@pytest.mark.parametrize(
    "message",
    [
        "Application timeout caused pair closure",
        "[gloo/transport/tcp/pair.cc:544] Connection closed by peer [127.0.0.1]:1234",
        "Timed out waiting 30000ms for recv operation to complete",
        "Socket closed [127.0.0.1]:1234",
        "Failed to recv, got 0 bytes. Connection was likely closed. Did the remote server shutdown or crash?",
        "NCCL error: remote process exited or there was a network error",
    ],
)
def test_each_way_in_which_collectives_tell_of_a_lost_process_is_one_line(tmp_path: Path, message: str) -> None:
    """Which one comes depends on who notices first; the messages stand in torch's own library."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        error = translated(RuntimeError(message))
        other = translated(RuntimeError("the size of tensor a (3) must match the size of tensor b (4)"))
    finally:
        torch.distributed.destroy_process_group()
    assert error is not None
    assert "another process of this run ended" in str(error)
    assert other is None
