"""Values that lightning refuses are refused by ``check``; lightning itself says which."""

from __future__ import annotations

from typing import Any

import lightning
import pytest
from lightning.fabric.utilities.exceptions import MisconfigurationException

from anyloom.checking.trainer_options import trainer_problems

_QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_steps", -5),
        ("accelerator", "cpuu"),
        ("strategy", "ddpp"),
        ("devices", 0),
        ("devices", "two"),
        ("devices", -3),
        ("devices", []),
        ("limit_train_batches", 2.5),
        ("limit_val_batches", -1),
        ("overfit_batches", 1.5),
        ("max_time", "abc"),
        ("max_time", "1:00:00"),
        ("profiler", "fast"),
        ("fast_dev_run", -1),
    ],
)
def test_what_lightning_refuses_is_named_before(key: str, value: Any) -> None:
    with pytest.raises((MisconfigurationException, ValueError, TypeError)):
        lightning.Trainer(**{**_QUIET, "accelerator": "cpu", key: value})
    (problem,) = trainer_problems({key: value})
    assert problem.where == f"trainer.{key}"
    assert problem.fix


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_steps", -1),
        ("max_epochs", 3),
        ("accelerator", "auto"),
        ("strategy", "auto"),
        ("devices", "auto"),
        ("devices", 1),
        ("devices", "2"),
        ("limit_train_batches", 0.5),
        ("limit_val_batches", 0),
        ("overfit_batches", 2),
        ("gradient_clip_val", None),
        ("val_check_interval", 1.0),
        ("val_check_interval", 10),
        ("accumulate_grad_batches", 4),
        ("max_time", "00:12:00:00"),
        ("max_time", {"minutes": 5}),
        ("profiler", "simple"),
        ("fast_dev_run", 2),
        ("fast_dev_run", False),
    ],
)
def test_what_lightning_takes_is_taken(key: str, value: Any) -> None:
    lightning.Trainer(**{**_QUIET, "accelerator": "cpu", key: value})
    assert trainer_problems({key: value}) == []


def test_no_accumulation_at_all_would_never_end() -> None:
    (problem,) = trainer_problems({"accumulate_grad_batches": 0})
    assert str(problem) == "trainer.accumulate_grad_batches: 0 is too small. To fix: give 1 or more"


@pytest.mark.parametrize(
    ("key", "value"),
    [("max_epochs", -2), ("num_nodes", 0), ("gradient_clip_val", -1.0), ("val_check_interval", 0), ("min_steps", -1)],
)
def test_what_lightning_takes_without_a_meaning_is_named(key: str, value: Any) -> None:
    (problem,) = trainer_problems({key: value})
    assert problem.where == f"trainer.{key}"
    assert "is too small" in problem.what
