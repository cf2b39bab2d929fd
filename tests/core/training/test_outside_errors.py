"""What lightning's callbacks refuse is an option of the trainer; an error of anybody else keeps its traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from lightning import Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from anyloom.errors import ConfigError
from anyloom.training.machines import say_who_is_waited_for
from anyloom.training.outside_errors import translated
from anyloom.training.run import run
from projects import sections


def test_a_callback_that_watches_nothing_is_one_line() -> None:
    with pytest.raises(RuntimeError) as caught:
        EarlyStopping(monitor="nothing")._validate_condition_metric({})
    said = translated(caught.value)
    assert isinstance(said, ConfigError)
    assert str(said).startswith("trainer: Early stopping conditioned on metric `nothing` which is not available")
    assert "\n" not in str(said)


def test_an_error_of_somebody_else_is_not_lightnings() -> None:
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("mine")
    assert translated(caught.value) is None


_NODES = {"MASTER_ADDR": "10.1.2.3", "MASTER_PORT": "29500", "NODE_RANK": "1"}


def test_machines_that_cannot_find_each_other_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in _NODES:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=r"^trainer\.num_nodes: .*MASTER_ADDR, MASTER_PORT, NODE_RANK not set"):
        run("fit", sections(tmp_path) | {"trainer": {"accelerator": "cpu", "devices": 1, "num_nodes": 2}})


def test_a_machine_says_for_whom_it_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in _NODES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # the trainer sets it, and everything after would write no logs
    trainer = Trainer(accelerator="cpu", devices=1, num_nodes=3, strategy="ddp", logger=False)
    say_who_is_waited_for(trainer, 600)
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith("machine 1 of 3: waiting for the others at 10.1.2.3:29500, at most 600 s")
