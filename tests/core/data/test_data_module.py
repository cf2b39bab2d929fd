"""The data of real runs: Lightning's options, the ledger, resuming with other numbers."""

from __future__ import annotations

import copy
import json
from collections import Counter
from pathlib import Path
from typing import Any

import lightning
import pytest

from anyloom.data.module import AnyToAnyData
from anyloom.errors import AnyloomError, ConfigError
from anyloom.training.run import run
from projects import sections

CHECKPOINT = "lightning.pytorch.callbacks.ModelCheckpoint"
SEEN: list[tuple[int, list[str]]] = []


class Recorder(lightning.Callback):
    """Notes the epoch and the lines of each batch."""

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        SEEN.append((trainer.current_epoch, [s.key.rsplit(":", 1)[1] for s in batch.samples]))


def project(folder: Path, data: dict[str, Any] | None = None, **trainer: Any) -> dict[str, Any]:
    """Eight lines in batches of two."""
    folder.mkdir(exist_ok=True)
    made = sections(folder, max_steps=-1)
    options = {"dirpath": str(folder / "checkpoints"), "every_n_train_steps": 1, "save_last": True}
    made["trainer"] |= {
        "callbacks": [
            {"class_path": f"{__name__}.Recorder"},
            {"class_path": CHECKPOINT, "init_args": options},
        ],
        "limit_val_batches": 0,
        **trainer,
    }
    made["data"] |= data or {}
    return made


def fit(config: dict[str, Any], stop: int | None = None) -> list[tuple[int, list[str]]]:
    """The batches of a run; of one that is cut before a step, and then goes on."""
    SEEN.clear()
    if stop is not None:
        cut = copy.deepcopy(config)
        cut["trainer"]["callbacks"].insert(0, {"class_path": "projects.PowerCut", "init_args": {"step": stop}})
        with pytest.raises(RuntimeError, match="power cut"):
            run("fit", cut)
        config = {**config, "ckpt_path": "last"}
    run("fit", config)
    return list(SEEN)


OPTIONS: dict[str, dict[str, Any]] = {
    "max_epochs": {"max_epochs": 2},
    "limit_train_batches": {"max_epochs": 3, "limit_train_batches": 3},
    "a share of the batches": {"max_epochs": 3, "limit_train_batches": 0.5},
    "overfit_batches": {"max_epochs": 3, "overfit_batches": 2},
    "reload_dataloaders": {"max_epochs": 3, "reload_dataloaders_every_n_epochs": 1, "limit_train_batches": 3},
    "max_steps": {"max_steps": 7},
}


STOPS = [0.5, pytest.param(0.2, marks=pytest.mark.slow), pytest.param(0.9, marks=pytest.mark.slow)]


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("option", OPTIONS)
def test_a_resumed_run_reads_what_the_unbroken_one_reads(tmp_path: Path, option: str, stop: float) -> None:
    whole = fit(project(tmp_path / "whole", **OPTIONS[option]))
    assert fit(project(tmp_path / "cut", **OPTIONS[option]), max(1, int(stop * len(whole)))) == whole


def test_every_epoch_has_every_line_once(tmp_path: Path) -> None:
    seen = fit(project(tmp_path, max_epochs=3))
    for epoch in range(3):
        assert Counter(line for e, batch in seen if e == epoch for line in batch) == dict.fromkeys("12345678", 1)


def test_a_pass_that_is_limited_leaves_no_line_out(tmp_path: Path) -> None:
    seen = fit(project(tmp_path, max_epochs=4, limit_train_batches=3))
    lines = Counter(line for _, batch in seen for line in batch)
    assert lines == dict.fromkeys("12345678", 3)


def test_overfitting_repeats_the_same_batches(tmp_path: Path) -> None:
    seen = fit(project(tmp_path, max_epochs=3, overfit_batches=2))
    epochs = [sorted(line for e, batch in seen if e == epoch for line in batch) for epoch in range(3)]
    assert len(set(epochs[0])) == 4
    assert epochs[0] == epochs[1] == epochs[2]


@pytest.mark.parametrize(("size", "workers"), [(1, 0), (4, 1)])
def test_a_run_goes_on_with_another_batch_size(tmp_path: Path, size: int, workers: int) -> None:
    config = project(tmp_path, max_epochs=3)
    cut = copy.deepcopy(config)
    cut["trainer"]["callbacks"].insert(0, {"class_path": "projects.PowerCut", "init_args": {"step": 2}})
    SEEN.clear()
    with pytest.raises(RuntimeError, match="power cut"):
        run("fit", cut)
    config["data"] |= {"batch_size": size, "workers": workers}
    run("fit", {**config, "ckpt_path": "last"})
    for epoch in range(3):
        lines = [line for e, batch in SEEN if e == epoch for line in batch]
        assert sorted(lines) == list("12345678"), epoch


def test_a_run_goes_on_in_its_order_with_another_seed(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    unbroken = fit(project(tmp_path / "whole", max_epochs=2))
    config = project(tmp_path, max_epochs=2)
    cut = copy.deepcopy(config)
    cut["trainer"]["callbacks"].insert(0, {"class_path": "projects.PowerCut", "init_args": {"step": 2}})
    SEEN.clear()
    with pytest.raises(RuntimeError, match="power cut"):
        run("fit", cut)
    config["data"]["seed"], config["seed_everything"] = 5, 7
    with pytest.warns(UserWarning, match=r"in the order of data\.seed 0, with which it began, and not of 5"):
        run("fit", {**config, "ckpt_path": "last"})
    assert unbroken == SEEN
    for epoch in range(2):
        assert sorted(line for e, batch in SEEN if e == epoch for line in batch) == list("12345678"), epoch


def damage(folder: Path) -> None:
    """Line 3 is no JSON, the picture of line 5 is cut."""
    lines = (folder / "data" / "train.jsonl").read_text().splitlines()
    lines[2] = lines[2][:40]
    (folder / "data" / "train.jsonl").write_text("\n".join(lines) + "\n")
    picture = folder / "data" / "4.png"
    picture.write_bytes(picture.read_bytes()[:60])


def test_bad_records_are_skipped_counted_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = project(tmp_path, {"max_bad": 0.5}, max_epochs=2)
    damage(tmp_path)
    seen = fit(config)
    assert Counter(line for _, batch in seen for line in batch) == dict.fromkeys("124678", 2)
    (report,) = tmp_path.rglob("ledger.json")
    train = json.loads(report.read_text())["train"]
    assert train["total"]["read"] == 16
    assert train["total"]["used"] == 12
    assert sum(train["total"]["skipped"].values()) == 4
    assert train["total"]["skipped"]["bad row"] == 2
    assert "train.jsonl:3" in train["examples"]["bad row"][0]
    assert "16 read = 12 used + 4 skipped" in capsys.readouterr().err


def test_too_many_bad_records_stop_the_run_with_reasons(tmp_path: Path) -> None:
    config = project(tmp_path, max_epochs=2)
    damage(tmp_path)
    with pytest.raises(AnyloomError, match=r"cannot be used; 0\.50% are allowed: 1 .*such as .*data") as caught:
        fit(config)
    assert "data.max_bad" in str(caught.value)
    assert list(tmp_path.rglob("ledger.json"))


def test_strict_stops_at_the_first(tmp_path: Path) -> None:
    config = project(tmp_path, {"strict": True, "max_bad": 1.0}, max_epochs=2)
    damage(tmp_path)
    with pytest.raises(AnyloomError, match=r"train\.jsonl:3|4\.png"):
        fit(config)


def test_a_resumed_run_has_the_ledger_of_the_unbroken_one(tmp_path: Path) -> None:
    reports = []
    for name, stop in (("whole", None), ("cut", 4)):
        config = project(tmp_path / name, {"max_bad": 0.5}, max_epochs=2)
        damage(tmp_path / name)
        fit(config, stop)
        report = max((tmp_path / name).rglob("ledger.json"), key=lambda p: p.stat().st_mtime_ns)
        reports.append(json.loads(report.read_text())["train"]["total"])
    assert reports[0] == reports[1]


def test_weights_of_sets_are_given_beside_the_options_of_their_builders(tmp_path: Path) -> None:
    config = project(tmp_path, max_epochs=1)
    small = config["data"]["datasets"]["small"]
    config["data"]["datasets"] = {
        "much": {**small, "weight": 3},
        "little": {**small, "weight": 1, "max_samples": 2, "epochs": 2},
    }
    data = AnyToAnyData(config["data"])
    draws = data.order("train").order.draws(0, 20)
    assert Counter(d.part for d in draws) == {0: 16, 1: 4}
    assert len({d.index for d in draws if d.part == 1}) == 2
    assert {d.part for d in data.order("train").order.draws(20, 48)} == {0}
    fit(config)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weight": 0}, r"data\.datasets\.small\.weight"),
        ({"weight": "much"}, r"data\.datasets\.small\.weight"),
        ({"epochs": -1}, r"data\.datasets\.small\.epochs"),
        ({"max_samples": 0}, r"data\.datasets\.small\.max_samples"),
        ({"wieght": 1}, "did you mean 'weight'|wieght"),
    ],
)
def test_mixing_options_that_are_wrong_are_named(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    config = project(tmp_path)
    config["data"]["datasets"]["small"] |= options
    with pytest.raises(ConfigError, match=said):
        AnyToAnyData(config["data"])


def test_a_task_that_the_set_does_not_give_is_named(tmp_path: Path) -> None:
    config = project(tmp_path)
    config["data"]["datasets"]["small"] |= {"weight": {"captoin": 1}}
    with pytest.raises(ConfigError, match="no task 'captoin'"):
        AnyToAnyData(config["data"]).order("train")
