"""``anyloom doctor`` on this installation, and on ones that are broken on purpose."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from anyloom.cli import doctor
from anyloom.cli.doctor import findings
from anyloom.cli.main import main

Usage = namedtuple("Usage", "total used free")


def told(level: str) -> list[str]:
    return [f.what for f in findings(answer=False) if f.level == level]


@pytest.mark.slow
def test_this_installation_has_no_fault_and_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "the model that ships answered with" in shown
    assert "0 faults" in shown


def test_json_has_every_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "--no-answer"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert all(f["cure"] for f in found if f["level"] != "ok")


def test_a_package_in_another_version_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    known = doctor.version
    monkeypatch.setattr(doctor, "version", lambda name: "0.0.1" if name == "pluggy" else known(name))
    assert told("fault") == ["pluggy 0.0.1, but >=1.5 is required"]


def test_an_extra_that_is_not_whole_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_installed", lambda name: name != "gradio")
    (found,) = [f for f in findings(answer=False) if "extra" in f.what and f.level == "note"]
    assert "gradio" in found.what
    assert found.cure == "pip install 'anyloom[chat]'"


def test_little_shared_memory_and_a_full_disk_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(64 << 20, 0, 1 << 20))
    notes = told("note")
    assert any("only 64 MB of shared memory" in note for note in notes)
    assert sum("only 0.0 GB are free" in note for note in notes) == 3


def test_too_many_threads_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4096)
    assert any("4096 threads" in note for note in told("note"))


def test_a_driver_that_torch_cannot_use_is_noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert any("NVIDIA driver" in note for note in told("note"))


def test_few_open_files_are_noted_in_a_real_process() -> None:
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)); "
    code += "from anyloom.cli.main import main; sys.exit(main(['doctor', '--no-answer']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "at most 200 open files" in done.stdout
    assert "ulimit -n 4096" in done.stdout


def test_a_home_that_cannot_be_written_to_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocked = tmp_path / "home"
    blocked.write_text("a file")
    monkeypatch.setattr(Path, "home", lambda: blocked)
    assert any("the cache" in fault for fault in told("fault"))
