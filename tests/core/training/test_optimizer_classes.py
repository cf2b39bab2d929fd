"""Any optimizer and schedule of torch by its class, and what `check` says of wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from anyloom.cli.main import main
from anyloom.training.run import run
from projects import sections, write_config


class Watch(lightning.Callback):
    """Keeps the optimizer, and the learning rate of every step."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.kinds: set[type] = set()

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        optimizer = trainer.optimizers[0]
        self.kinds.add(type(getattr(optimizer, "optimizer", optimizer)))
        self.rates.append(float(trainer.lr_scheduler_configs[0].scheduler.get_last_lr()[0]))


def fit(folder: Path, **module: Any) -> Watch:
    project, watch = sections(folder, max_steps=4), Watch()
    project["trainer"]["callbacks"] = [watch]
    project["module"] = {**project.get("module", {}), **module}
    run("fit", project)
    return watch


def test_a_schedule_by_its_class_halves_as_arithmetic_says(tmp_path: Path) -> None:
    optimizer = {"class_path": "torch.optim.RMSprop", "init_args": {"lr": 0.008, "momentum": 0.5}}
    halve = {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 1, "gamma": 0.5}}
    watch = fit(tmp_path, optimizer=optimizer, scheduler=halve)
    assert watch.kinds == {torch.optim.RMSprop}
    assert watch.rates == pytest.approx([0.004, 0.002, 0.001, 0.0005])


def test_without_one_warm_up_and_cosine_scale_the_rate_of_the_class(tmp_path: Path) -> None:
    watch = fit(tmp_path, optimizer={"class_path": "torch.optim.SGD", "init_args": {"lr": 1.0}, "warmup": 0.5})
    assert watch.kinds == {torch.optim.SGD}
    assert watch.rates[:2] == pytest.approx([0.5, 1.0])


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ({"optimizer": {"class_path": "torch.optim.Adamm"}}, "cannot be imported"),
        ({"optimizer": {"class_path": "torch.nn.Linear"}}, "is no Optimizer"),
        ({"optimizer": {"class_path": "SGD"}}, "no path of a class"),
        ({"optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lrr": 1}}}, "lrr"),
        ({"optimizer": {"class_path": "torch.optim.SGD", "lr": 0.1}}, "init_args"),
        ({"optimizer": {"init_args": {"lr": 0.1}}}, "class_path"),
        ({"scheduler": {"class_path": "torch.optim.lr_scheduler.StepLR"}}, "step_size"),
        ({"scheduler": {"class_path": "torch.optim.lr_scheduler.ReduceLROnPlateau"}}, "measured value"),
    ],
)
def test_check_finds_what_cannot_be_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], module: dict[str, Any], said: str
) -> None:
    project = sections(tmp_path, max_steps=4)
    project["module"] = {**project.get("module", {}), **module}
    assert main(["check", str(write_config(tmp_path, project))]) == 2
    printed = capsys.readouterr()
    assert said in printed.out + printed.err
    assert "Traceback" not in printed.err
