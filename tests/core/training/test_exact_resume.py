"""Runs that were stopped in awkward places equal the ones that were not: gradients of open windows, validations."""

from __future__ import annotations

import copy
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from anyloom.training.run import run
from projects import Stop, sections

CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"


def project(folder: Path, **trainer: Any) -> dict[str, Any]:
    """Ten batches of one sample in epochs of eight, a validation every two batches."""
    folder.mkdir(exist_ok=True)
    made = sections(folder, max_steps=trainer.pop("max_steps", 10))
    made["data"]["batch_size"] = 1
    made["trainer"] |= {"num_sanity_val_steps": 0, "val_check_interval": 2} | trainer
    return made


def saving(folder: Path, **options: Any) -> dict[str, Any]:
    return {"class_path": CHECKPOINT, "init_args": {"dirpath": str(folder / "ck"), "save_last": True, **options}}


def values(folder: Path, name: str) -> dict[int, str]:
    """What was logged, by step; the last of several runs wins."""
    found: dict[int, str] = {}
    for version in sorted((folder / "run" / "csv").glob("version_*"), key=lambda p: int(p.name.split("_")[1])):
        lines = (version / "metrics.csv").read_text().splitlines() if (version / "metrics.csv").exists() else []
        for row in (dict(zip(lines[0].split(","), line.split(","))) for line in lines[1:]):
            if row.get(name):
                found[int(row["step"])] = row[name]
    return found


def stopped(config: dict[str, Any], **stop: Any) -> None:
    config = copy.deepcopy(config)
    config["trainer"]["callbacks"] = [Stop(**stop), *config["trainer"]["callbacks"]]
    with pytest.raises((RuntimeError, SystemExit, KeyboardInterrupt)):
        run("fit", config)


def equal(one: Any, other: Any) -> bool:
    return all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


SLOW = pytest.mark.slow


@pytest.mark.parametrize("kills", [(10, 3), *(pytest.param(k, marks=SLOW) for k in ((9,), (2, 2, 2), (5, 1)))])
def test_no_gradient_is_lost_however_often_a_window_is_cut(tmp_path: Path, kills: tuple[int, ...]) -> None:
    """Windows of four batches and a checkpoint after every step: the second kill once resumed from a half window."""
    whole = run("fit", project(tmp_path / "whole", max_steps=4, accumulate_grad_batches=4))
    config = project(tmp_path / "cut", max_steps=4, accumulate_grad_batches=4)
    config["trainer"]["callbacks"] = [saving(tmp_path / "cut", every_n_train_steps=1)]
    for batch in kills:
        stopped(config, batch=batch)
        config["ckpt_path"] = "last"
    assert equal(whole.model, run("fit", config).model)


def test_a_checkpoint_of_an_open_window_goes_on_with_its_gradients(tmp_path: Path) -> None:
    """A signal comes in the sixth batch, the second of a window of four."""
    whole = run("fit", project(tmp_path / "whole", max_steps=3, accumulate_grad_batches=4))
    config = project(tmp_path / "cut", max_steps=3, accumulate_grad_batches=4)
    config["trainer"]["callbacks"] = [saving(tmp_path / "cut", every_n_epochs=100)]
    stopped(config, batch=5, how="SIGTERM")
    kept = torch.load(tmp_path / "cut" / "ck" / "last.ckpt", weights_only=True)
    assert kept["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["ready"] == 6
    assert len(kept["gradients"]) == 1
    assert equal(whole.model, run("fit", {**config, "ckpt_path": "last"}).model)


@pytest.mark.parametrize(
    ("batch", "how"),
    [(11, "hard"), (1, "SIGTERM")]
    + [pytest.param(b, h, marks=SLOW) for b, h in ((0, "hard"), (4, "hard"), (0, "SIGTERM"), (4, "SIGTERM"))],
)
def test_a_validation_that_was_cut_off_is_run_again(tmp_path: Path, batch: int, how: str) -> None:
    """Validations of three batches after every second step; the fourth ends the epoch."""
    whole = run("fit", project(tmp_path / "whole"))
    config = project(tmp_path / "cut")
    config["trainer"]["callbacks"] = [saving(tmp_path / "cut", every_n_train_steps=1)]
    stopped(config, batch=batch, how=how, hook="validation")
    resumed = run("fit", {**config, "ckpt_path": "last"})
    assert equal(whole.model, resumed.model)
    for name in ("val/loss", "train/loss"):
        expected = values(tmp_path / "whole", name)
        assert len(expected) == {"val/loss": 5, "train/loss": 10}[name]
        assert values(tmp_path / "cut", name) == expected


@pytest.mark.parametrize("batch", [8, pytest.param(0, marks=SLOW), pytest.param(3, marks=SLOW)])
def test_a_signal_saves_the_step_it_came_in(tmp_path: Path, batch: int) -> None:
    """Without any checkpoint by steps: all that is lost is nothing."""
    whole = run("fit", project(tmp_path / "whole"))
    config = project(tmp_path / "cut")
    config["trainer"]["callbacks"] = [saving(tmp_path / "cut", every_n_epochs=100)]
    stopped(config, batch=batch, how="SIGTERM")
    kept = torch.load(tmp_path / "cut" / "ck" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == batch + 1
    assert equal(whole.model, run("fit", {**config, "ckpt_path": "last"}).model)
    assert values(tmp_path / "cut", "train/loss") == values(tmp_path / "whole", "train/loss")


def test_a_step_that_is_saved_again_has_one_name(tmp_path: Path) -> None:
    """After a crash between two checkpoint callbacks, a step lies there that the checkpoint does not know of."""
    config = project(tmp_path / "cut", max_steps=4)
    config["trainer"]["callbacks"] = [saving(tmp_path / "cut", every_n_train_steps=1, save_top_k=-1)]
    stopped(config, batch=3)
    folder = tmp_path / "cut" / "ck"
    names = {p.name for p in folder.iterdir()}
    run("fit", {**copy.deepcopy(config), "ckpt_path": str(folder / "epoch=0-step=1.ckpt")})
    assert {p.name for p in folder.iterdir()} - names == {"epoch=0-step=4.ckpt", "epoch=0-step=4.ckpt.sha256"}


@pytest.mark.parametrize(
    ("stops", "steps"),
    [
        ([(3, "train"), (1, "validation")], 3),
        ([(1, "validation")], 4),
        pytest.param([(3, "train")], 4, marks=SLOW),
        pytest.param([(1, "validation")] * 3, 4, marks=SLOW),
    ],
)
def test_a_validation_that_is_run_again_may_be_cut_off_too(
    tmp_path: Path, stops: list[tuple[int, str]], steps: int
) -> None:
    """In it the next batch is there already; and at the end of a run there is none, so nothing but it is left to do."""
    accumulate = {3: 3, 4: 1}[steps]
    options = {"max_steps": steps, "val_check_interval": 4, "accumulate_grad_batches": accumulate}
    whole = run("fit", project(tmp_path / "whole", **options))
    config = project(tmp_path / "cut", **options)
    config["trainer"]["callbacks"] = [saving(tmp_path / "cut", every_n_train_steps=1)]
    for batch, hook in stops:
        stopped(config, batch=batch, how="SIGTERM", hook=hook)
        config["ckpt_path"] = "last"
    assert equal(whole.model, run("fit", config).model)
    for name in ("val/loss", "train/loss"):
        assert values(tmp_path / "cut", name) == values(tmp_path / "whole", name)


CONFIGURATIONS: list[dict[str, Any]] = [
    {"accumulate_grad_batches": accumulate, "val_check_interval": interval, "workers": workers} | limited
    for accumulate in (1, 3)
    for interval in (2, 4)
    for workers in (0, 2)
    for limited in ({}, {"limit_train_batches": 5})
]
ROUNDS = int(os.environ.get("ANYLOOM_KILL_ROUNDS", "1"))
"""Rounds over the configurations, three kills each: 3 make more than 100 kills. One in ten runs without being asked."""


@pytest.mark.parametrize(
    "number", [n if n == 5 else pytest.param(n, marks=SLOW) for n in range(len(CONFIGURATIONS) * ROUNDS)]
)
def test_kills_at_random_change_nothing(tmp_path: Path, number: int) -> None:
    """Each run is cut off three times, by SIGKILL or SIGTERM: in training, in a validation, or at any moment at all."""
    options = dict(CONFIGURATIONS[number % len(CONFIGURATIONS)])
    workers, draw = options.pop("workers"), random.Random(number)
    made = [project(tmp_path / name, max_steps=6, **options) for name in ("whole", "cut")]
    for config in made:
        config["data"]["workers"] = workers
    begun = time.monotonic()
    whole, config = run("fit", made[0]), made[1]
    longest, kills = time.monotonic() - begun, 0
    often = {"every_n_train_steps": draw.choice([1, 2])}
    config["trainer"]["callbacks"] = [saving(tmp_path / "cut", **often)]
    for _ in range(3):
        cut = copy.deepcopy(config)
        if where := draw.choice(["train", "train", "validation", ""]):
            stop = Stop(draw.randrange(1, 6), draw.choice(["SIGKILL", "SIGTERM"]), where)
            cut["trainer"]["callbacks"] = [stop, *cut["trainer"]["callbacks"]]
        kills += was_killed(cut, after=None if where else draw.uniform(0, longest))
        config["ckpt_path"] = "last"
    print(f"kills: {kills}")
    assert equal(whole.model, run("fit", config).model)
    for name in ("val/loss", "train/loss"):
        logged, expected = values(tmp_path / "cut", name), values(tmp_path / "whole", name)
        # between a checkpoint and the row of its step lies a moment: SIGKILL there costs that row, and nothing else
        assert len(expected) - len(logged) <= kills
        assert logged == {step: value for step, value in expected.items() if step in logged}


AVERAGING = {"class_path": "lightning.pytorch.callbacks.EMAWeightAveraging", "init_args": {"decay": 0.9}}
WAYS: list[dict[str, Any]] = [
    {"trainer": trainer, "data": data, "average": average}
    for data in ({"pack": 64, "batch_size": 1}, {"batch_tokens": 90}, {"batch_size": 2, "bucket": 2}, {"bucket": 1})
    for trainer, average in (
        ({}, True),
        ({"accumulate_grad_batches": 2, "limit_val_batches": 1}, False),
        ({"limit_train_batches": 3, "check_val_every_n_epoch": 2, "val_check_interval": 1.0}, False),
        ({"accumulate_grad_batches": 3, "gradient_clip_val": None}, True),
    )
]
"""Sixteen more: packed rows, batches by tokens, buckets and plain ones, with averages of weights and other limits."""


@pytest.mark.filterwarnings("ignore:You.re using the WeightAveraging callback:UserWarning")
@pytest.mark.parametrize("batch", [0, 1])
def test_averages_and_weights_are_not_mixed_up_by_a_stop_in_a_validation(tmp_path: Path, batch: int) -> None:
    """Lightning's callback lets them change places while it validates."""
    made = [project(tmp_path / name, max_steps=4, val_check_interval=2) for name in ("whole", "cut")]
    for config in made:
        config["trainer"]["callbacks"] = [AVERAGING]
    whole, config = run("fit", made[0]), made[1]
    config["trainer"]["callbacks"].append(saving(tmp_path / "cut", every_n_train_steps=1))
    stopped(config, batch=batch, how="SIGTERM", hook="validation")
    assert equal(whole.model, run("fit", {**config, "ckpt_path": "last"}).model)


@pytest.mark.filterwarnings("ignore:You.re using the WeightAveraging callback:UserWarning")
def test_a_run_that_had_ended_ends_with_its_averages_again(tmp_path: Path) -> None:
    """A job that is started again after its end writes the result that it wrote, not the last weights over it."""
    config = project(tmp_path / "whole", max_steps=3)
    config["trainer"]["callbacks"] = [AVERAGING, saving(tmp_path / "whole", every_n_train_steps=1)]
    first = run("fit", copy.deepcopy(config))
    kept = {name: tensor.clone() for name, tensor in first.model.state_dict().items()}
    again = run("fit", {**config, "ckpt_path": "last"}).model.state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in kept.items())


@pytest.mark.parametrize(
    "number",
    [n if n == 3 else pytest.param(n, marks=SLOW) for n in range(len(WAYS))],
)
@pytest.mark.filterwarnings("ignore:You.re using the WeightAveraging callback:UserWarning")
def test_kills_at_random_of_other_plans_change_nothing(tmp_path: Path, number: int) -> None:
    """Two kills of each, one of them in a step and one at any moment; workers, too, alternate between runs."""
    way, draw = WAYS[number], random.Random(1000 + number)
    made = [project(tmp_path / name, max_steps=5, **way["trainer"]) for name in ("whole", "cut")]
    for config in made:
        config["data"] |= way["data"]
        config["trainer"]["callbacks"] = [AVERAGING] if way["average"] else []
        config["data"]["workers"] = number % 2 * 2
    begun = time.monotonic()
    whole, config = run("fit", made[0]), made[1]
    longest = time.monotonic() - begun
    config["trainer"]["callbacks"].append(saving(tmp_path / "cut", every_n_train_steps=draw.choice([1, 2])))
    cut = copy.deepcopy(config)
    cut["trainer"]["callbacks"] = [
        Stop(draw.randrange(2, 5), draw.choice(["SIGKILL", "SIGTERM"])),
        *config["trainer"]["callbacks"],
    ]
    assert was_killed(cut, after=None)
    config["ckpt_path"] = "last"
    was_killed(config, after=draw.uniform(0, longest))
    config["data"]["workers"] = draw.choice([0, 2])
    resumed = run("fit", config)
    assert resumed.trainer.global_step == whole.trainer.global_step == 5
    assert equal(whole.model, resumed.model)


def was_killed(config: dict[str, Any], *, after: float | None) -> bool:
    """Run in a process of its own, killed after some seconds; whether it ended by a signal."""
    child = os.fork()
    if child == 0:
        status = 0
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            run("fit", config)
        except SystemExit as error:
            status = int(error.code or 0)
        except BaseException:
            status = 1
        finally:
            os._exit(status)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL, 128 + signal.SIGTERM), code
    return code != 0
