"""The time that is left ends with ``max_time`` where that comes before the last step."""

from __future__ import annotations

import re
from pathlib import Path

import lightning
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from anyloom.training.progress_lines import ProgressLines


class Slow(lightning.LightningModule):
    """One number."""

    def __init__(self) -> None:
        super().__init__()
        self.x = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.x - batch.mean()) ** 2

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


LIMITS = [({"max_time": "00:00:00:02", "max_epochs": 10**7}, 2), ({"max_epochs": 1}, 59)]


@pytest.mark.parametrize(("limit", "most"), LIMITS)
def test_the_first_of_the_two_limits_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], limit: dict[str, object], most: int
) -> None:
    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, limit_train_batches=3, default_root_dir=tmp_path, callbacks=[ProgressLines()],
        **limit,
    )  # fmt: skip
    trainer.fit(Slow(), DataLoader(torch.zeros(6, 1)))  # type: ignore[arg-type]
    left = [tuple(map(int, found)) for found in re.findall(r"(\d+):(\d+):(\d+) left", capsys.readouterr().err)]
    assert left
    assert all(h * 3600 + m * 60 + s <= most for h, m, s in left)
