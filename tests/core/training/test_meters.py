"""What a run says of its speed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, ClassVar

import lightning
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from anyloom.training.meters import Meters
from anyloom.training.run import run
from projects import sections

HERE = __name__


class Lengths(lightning.Callback):
    """Lengths of the samples of each batch, as the interleaver gives them."""

    seen: ClassVar[list[list[int]]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, number: int) -> None:
        interleaver = module.model.interleaver()
        self.seen.append([len(interleaver(sample.conversation)) for sample in batch.samples])


class Reads(TorchDispatchMode):
    """Counts how often a number is read from a tensor, for which a GPU would be waited for."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


class Watched(Meters):
    """Meters whose reads are counted, batch by batch."""

    reads: ClassVar[list[int]] = []

    def on_train_batch_end(self, *arguments: Any) -> None:
        with Reads() as reads:
            super().on_train_batch_end(*arguments)
        self.reads.append(reads.count)


def logged(folder: Path) -> list[dict[str, float]]:
    (file,) = (folder / "run" / "csv").glob("*/metrics.csv")
    rows = csv.DictReader(file.read_text().splitlines())
    return [{k: float(v) for k, v in row.items() if v} for row in rows if row.get("speed/pad_share")]


def fitted(folder: Path, callback: str, **trainer: Any) -> None:
    config = sections(folder, max_steps=6)
    config["trainer"] |= {"limit_val_batches": 0, **trainer}
    config["trainer"]["callbacks"] = [{"class_path": f"{HERE}.{callback}"}]
    run("fit", config)


def test_padding_is_what_the_lengths_of_the_samples_leave_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Lengths.seen.clear()
    fitted(tmp_path, "Lengths")
    rows = logged(tmp_path)
    expected = [1 - sum(lengths) / (max(lengths) * len(lengths)) for lengths in Lengths.seen]
    assert [row["speed/pad_share"] for row in rows] == pytest.approx(expected[1:])  # the first one's FLOPs are counted
    assert all(row["speed/tokens_per_second"] > 0 and 0 <= row["speed/data_wait"] <= 1 for row in rows)
    assert all(row["speed/memory"] > 100_000_000 for row in rows)  # PyTorch alone takes more
    assert all(row["speed/mfu_executed"] == row["speed/mfu_trained"] == 0 for row in rows), "of a CPU no peak is known"
    assert capsys.readouterr().err.count("FLOPs of the first batch: model.llm: 0.0") == 1


def test_numbers_are_read_in_logged_steps_alone(tmp_path: Path) -> None:
    Watched.reads.clear()
    fitted(tmp_path, "Watched", log_every_n_steps=3)
    assert Watched.reads == [0, 0, 1, 0, 0, 1]


def test_use_of_a_known_peak_is_told_for_what_is_trained_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anyloom.training.meters.peak_flops", lambda device: 1e12)
    Lengths.seen.clear()
    fitted(tmp_path, "Lengths")
    for row in logged(tmp_path):
        assert 0 < row["speed/mfu_trained"] <= row["speed/mfu_executed"] < 1
