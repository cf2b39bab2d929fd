"""``strategy: fsdp2``: two processes that hold halves learn what two that hold everything do, save it and go on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from anyloom import AnyToAnyModel
from anyloom.checking.trainer_options import trainer_problems
from anyloom.storage.tensors import read_tensors
from anyloom.training.sharded import NAME
from projects import sections

ROOT = Path(__file__).resolve().parents[3]


def fit(folder: Path, *words: str, command: str = "fit", status: int = 0) -> str:
    """Run a command in processes of its own; returns what it printed, errors last."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "anyloom.cli.main", command, "config.yaml", *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout[-1500:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made: dict[str, Any] = sections(tmp_path, max_steps=4)
    saving = {"dirpath": "ck", "filename": "{step}", "save_top_k": -1, "every_n_train_steps": 2}
    made["trainer"]["callbacks"] = [{"class_path": "lightning.pytorch.callbacks.ModelCheckpoint", "init_args": saving}]
    made["data"]["batch_size"] = 1
    made["result"] = "result"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(made))
    return tmp_path


def learned(folder: Path) -> dict[str, torch.Tensor]:
    return read_tensors(folder)


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[k].float() - other[k].float()).abs().max()) for k in one)


TWO = ("trainer.devices=2", f"trainer.strategy={NAME}")


@pytest.mark.slow
def test_two_halves_learn_what_two_wholes_do(project: Path) -> None:
    fit(project, *TWO, "result=halves")
    fit(project, "trainer.devices=2", "trainer.strategy=ddp", "result=wholes", "trainer.callbacks=[]")
    assert largest_difference(learned(project / "halves"), learned(project / "wholes")) < 1e-5
    start = learned(project / "halves")
    model = AnyToAnyModel.from_pretrained(project / "halves", trust=True)
    assert all(torch.equal(start[k], v) for k, v in model.state_dict().items() if k in start)
    fit(project, *TWO, "result=halves", command="test")
    said = fit(project, *TWO, "result=halves", "--output", "answers", command="predict")
    assert "3 answers" in said


@pytest.mark.slow
def test_what_steps_whole_matrices_is_refused(project: Path) -> None:
    said = fit(project, *TWO, "module.optimizer.hidden_matrices=muon", status=2)
    assert "muon steps whole matrices" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_run_in_halves_goes_on_in_any_number_of_processes(project: Path) -> None:
    fit(project, *TWO, "trainer.max_steps=6", "result=unbroken")
    cut = project / "ck" / "step=4.ckpt"
    fit(project, *TWO, "trainer.max_steps=6", f"ckpt_path={cut}", "result=resumed", "trainer.callbacks=[]")
    assert largest_difference(learned(project / "unbroken"), learned(project / "resumed")) < 1e-6
    fit(project, "trainer.max_steps=6", f"ckpt_path={cut}", "result=alone", "trainer.callbacks=[]")
    assert largest_difference(learned(project / "alone"), learned(project / "resumed")) < 0.1


def test_the_first_fsdp_is_refused_and_the_second_is_known() -> None:
    (problem,) = trainer_problems({"strategy": "fsdp"})
    assert NAME in problem.fix
    assert trainer_problems({"strategy": NAME}) == []
