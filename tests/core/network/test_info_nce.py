"""The loss that ships, against its closed form, and in a run by its config."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch

from anyloom.interfaces import Seen, SeenMedia
from anyloom.network.info_nce import InfoNCE
from anyloom.training.run import run
from projects import sections


def seen(predicted: torch.Tensor, features: torch.Tensor) -> Seen:
    hidden = torch.zeros(len(features), 2, 3)
    return Seen(hidden, {"image": SeenMedia(features, predicted, hidden, torch.arange(len(features)))})


@pytest.mark.parametrize("count", [1, 2, 5])
def test_orthogonal_targets_have_the_closed_form(count: int) -> None:
    """A right guess among n orthogonal ones costs log(1 + (n - 1) exp(-1 / t)), whatever its length."""
    features = torch.eye(count)[:, None]
    total, number = InfoNCE.from_options({"temperature": 0.5})(seen(3 * features, features))
    assert number == count
    assert total.item() == pytest.approx(count * math.log(1 + (count - 1) * math.exp(-2)), abs=1e-6)


def test_gradient_leads_to_the_own_target() -> None:
    features = torch.eye(2)[:, None]
    predicted = torch.tensor([[[1.0, 1.0]], [[1.0, 1.0]]], requires_grad=True)
    InfoNCE.from_options({})(seen(predicted, features))[0].backward()
    assert predicted.grad is not None
    assert predicted.grad[0, 0, 0] < 0 < predicted.grad[0, 0, 1]


def test_nothing_to_predict_costs_nothing() -> None:
    total, count = InfoNCE.from_options({})(Seen(torch.zeros(2, 3, 4)))
    assert (total.item(), count.item()) == (0, 0)


def test_a_config_adds_it_to_a_run(tmp_path: Path) -> None:
    config = sections(tmp_path, max_steps=2)
    config["model"]["losses"] = {"nce": {"name": "info-nce", "weight": 1}}
    run("fit", config)
    (log,) = tmp_path.rglob("metrics.csv")
    with log.open() as lines:
        values = [row["train/loss/nce"] for row in csv.DictReader(lines) if row.get("train/loss/nce")]
    assert values
    assert all(math.isfinite(float(value)) for value in values)
