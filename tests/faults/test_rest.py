"""Rows 39 and 48 to 50: clocks and slow disks, leaks, the supply chain, fuzzing; 40 to 44 are tests of the server."""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import lightning
import pytest

from anyloom import AnyToAnyModel, Conversation, Message
from anyloom.training.run import run
from core.training.test_exact_resume import equal, project, saving, values
from faults.rows import row
from fuzz.driving import drive
from fuzz.targets import TARGETS
from local_hub import environment, running_hub
from parts import model_options, picture, sound
from projects import sections

ROOT = Path(__file__).parents[2]


class Jumps(lightning.Callback):
    """Sets the clock back by a day at one step, and on by ten at another."""

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        shift = {2: -86_400.0, 4: 864_000.0}.get(trainer.global_step)
        if shift is not None:
            real = time.time  # put back by the test
            time.time = lambda: real() + shift


TIMES = row(
    39,
    "run",
    done="a clock that jumps; a disk that takes 50 ms to flush; a hub that answers 503 and breaks files off",
    promise="the run is the same, the newest checkpoint is found; the hub is asked again, files are whole",
)


@TIMES
def test_clock_and_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run("fit", project(tmp_path / "whole", max_steps=6))
    config = project(tmp_path / "jumps", max_steps=6)
    config["trainer"]["callbacks"] = [Jumps(), saving(tmp_path / "jumps", every_n_train_steps=1)]
    flush = os.fsync
    monkeypatch.setattr(time, "time", time.time)
    monkeypatch.setattr(os, "fsync", lambda handle: (time.sleep(0.05), flush(handle))[1])
    assert equal(whole.model, run("fit", config).model)
    monkeypatch.undo()
    config["trainer"]["callbacks"].pop(0)
    assert equal(whole.model, run("fit", {**config, "ckpt_path": "last"}).model)
    assert values(tmp_path / "jumps", "val/loss") == values(tmp_path / "whole", "val/loss")


FETCH = """
import pathlib, sys
from anyloom.storage.repositories import fetch
print(fetch("owner/model", ["*.json", "*.safetensors"], download=True))
"""


@TIMES
def test_a_flaky_remote(tmp_path: Path) -> None:
    draw = random.Random(0)
    files = {
        "config.json": b"{}",
        "model.safetensors": draw.randbytes(24_000_000),
        "more.safetensors": draw.randbytes(5000),
    }
    with running_hub(flaky=True) as hub:
        hub.files = files
        env = environment(hub, "good", tmp_path)
        command = [sys.executable, "-c", FETCH]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        folder = Path(done.stdout.strip())
        assert {f.name: f.read_bytes() for f in folder.iterdir()} == files
        assert hub.refused >= len(files)
        assert hub.broken_off == {"model.safetensors", "more.safetensors"}
        assert hub.went_on == ["model.safetensors"]  # the client keeps whole blocks of 10 MB


def growth(work: Any, rounds: int) -> tuple[float, int, int]:
    """Megabytes, open files and threads that rounds of some work add, after some to warm up."""
    for _ in range(rounds // 3):
        work()
    gc.collect()
    before = (memory(), len(os.listdir("/proc/self/fd")), threading.active_count())
    for _ in range(rounds):
        work()
    gc.collect()
    after = (memory(), len(os.listdir("/proc/self/fd")), threading.active_count())
    return (after[0] - before[0]) / 2**20, after[1] - before[1], after[2] - before[2]


class Watch(lightning.Callback):
    """Looks at the memory after every step."""

    seen: ClassVar[list[int]] = []

    def on_train_batch_end(self, *_: Any) -> None:
        self.seen.append(memory())


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux tells the memory of a process so")
@row(
    48,
    "rest",
    done="300 answers with media, 400 steps of training",
    promise="memory, files and threads stay",
)
def test_nothing_leaks(tmp_path: Path, tokenizer_folder: Path) -> None:
    model = AnyToAnyModel.from_config({"model": model_options(tokenizer_folder)})
    prompt = Conversation([Message("user", ["a", picture(1), sound(1)])])
    megabytes, files, threads = growth(lambda: model.generate(prompt, max_new_tokens=2), 300)
    assert megabytes < 8
    assert (files, threads) == (0, 0)

    Watch.seen.clear()
    config = sections(tmp_path, max_steps=400)
    config["trainer"] |= {"callbacks": [Watch()], "limit_val_batches": 0, "max_epochs": -1}
    run("fit", config)
    assert (Watch.seen[-1] - Watch.seen[130]) / 2**20 < 8
    left = {p.name for p in tmp_path.rglob("*") if p.name.startswith(".") and p.is_file()}
    assert left <= {".result.lock"}


NO_NETWORK = """
import socket, sys
def refuse(*address, **more):
    raise SystemExit(f"a connection is opened: {address[1:]}")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse
from anyloom.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@row(
    49,
    "rest",
    done="import, lists, check and training with a network that ends the process",
    promise="no connection; every requirement locked with hashes; a list of all parts",
)
def test_supply_chain(tmp_path: Path) -> None:
    from projects import write_config

    config = write_config(tmp_path, sections(tmp_path, max_steps=2))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment |= {"PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1"}
    for words in (["plugins"], ["recipes"], ["check", config], ["fit", config]):
        command = [sys.executable, "-c", NO_NETWORK, *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
    lock = (ROOT / "requirements.lock").read_text()
    entries = [block for block in lock.split("\n") if block and not block.startswith((" ", "#"))]
    assert len(entries) > 50
    assert all("==" in entry for entry in entries)
    assert lock.count("--hash=sha256:") >= len(entries)
    parts = json.loads((ROOT / "sbom.json").read_text())["components"]
    assert {f"{p['name']}=={p['version']}" for p in parts} == {entry.split(" ")[0] for entry in entries}


@row(
    50,
    "rest",
    done="damaged inputs for every reader, for a moment (a long run stands below)",
    promise="declared errors alone, time and memory bounded",
)
def test_fuzzing() -> None:
    findings, inputs = [], 0
    for target in TARGETS:
        found = drive(target, 0.2)
        findings += found.findings
        inputs += found.inputs
    assert not findings
    assert inputs > 300
