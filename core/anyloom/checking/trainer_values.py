"""Values of the right type that ``lightning.Trainer`` refuses when it is built, or with which a run never moves."""

from __future__ import annotations

import re
from typing import Any, Final

from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.strategies import StrategyRegistry

from anyloom.errors import ConfigError, nearest

__all__ = ["value_problems"]

_LEAST: Final = {
    "max_epochs": -1,
    "min_epochs": 0,
    "max_steps": -1,
    "min_steps": 0,
    "accumulate_grad_batches": 1,
    "num_nodes": 1,
    "check_val_every_n_epoch": 1,
    "log_every_n_steps": 0,
    "num_sanity_val_steps": -1,
    "reload_dataloaders_every_n_epochs": 0,
    "gradient_clip_val": 0,
    "limit_train_batches": 0,
    "limit_val_batches": 0,
    "limit_test_batches": 0,
    "limit_predict_batches": 0,
    "overfit_batches": 0,
    "fast_dev_run": 0,
}
"""Smallest value of each number. ``accumulate_grad_batches: 0`` makes lightning wait for ever."""

_DURATION: Final = re.compile(r"\s*\d+:\d\d:\d\d:\d\d\s*")
_PROFILERS: Final = ("simple", "advanced", "pytorch", "xla")
_SHARES: Final = ("limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches")


def value_problems(key: str, value: Any) -> list[ConfigError]:
    """Return what is wrong with one option's value, whose type is right.

    Args:
        key: Option of ``lightning.Trainer``.
        value: As it stands in the config.

    >>> print(value_problems("accelerator", "cpuu")[0])
    trainer.accelerator: there is no 'cpuu'. To fix: did you mean 'cpu'?
    >>> value_problems("max_steps", -1)
    []
    """
    where = f"trainer.{key}"
    if key == "accelerator" and isinstance(value, str):
        return _unknown(value, ["auto", "gpu", *AcceleratorRegistry.available_accelerators()], where)
    if key == "strategy" and isinstance(value, str):
        return _unknown(value, ["auto", "fsdp2", *StrategyRegistry.available_strategies()], where)
    if key == "profiler" and isinstance(value, str):
        return _unknown(value, list(_PROFILERS), where)
    if key == "max_time" and isinstance(value, str) and not _DURATION.fullmatch(value):
        return [ConfigError(f"{value!r} is no duration", where=where, fix="write DD:HH:MM:SS, such as 00:12:00:00")]
    if key == "devices" and not _are_devices(value):
        what = f"{value!r} names no devices"
        return [ConfigError(what, where=where, fix="give a number of 1 or more, -1 for all, or a list such as [0, 1]")]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return []
    if key in _LEAST and not value >= _LEAST[key]:
        return [ConfigError(f"{value} is too small", where=where, fix=f"give {_LEAST[key]} or more")]
    if key == "val_check_interval" and not value > 0:
        return [ConfigError(f"{value} is too small", where=where, fix="give 1 or more batches, or a share of an epoch")]
    if isinstance(value, float) and value > 1 and key in (*_SHARES, "overfit_batches", "val_check_interval"):
        fix = "give a whole number of batches, or a share between 0 and 1"
        return [ConfigError(f"{value} is neither a number of batches nor a share", where=where, fix=fix)]
    return []


def _unknown(name: str, known: list[str], where: str) -> list[ConfigError]:
    if name in known:
        return []
    fix = nearest(name, known) or f"there are {', '.join(known)}"
    return [ConfigError(f"there is no {name!r}", where=where, fix=fix)]


def _are_devices(value: Any) -> bool:
    """Whether it is a number of devices, ``auto``, or indices as a list or with commas between them."""
    if isinstance(value, str) and value != "auto":
        parts = [part.strip() for part in value.split(",") if part.strip()]
        if not all(part.removeprefix("-").isdigit() for part in parts):
            return False
        value = int(parts[0]) if len(parts) == 1 and "," not in value else [int(part) for part in parts]
    if isinstance(value, list):
        return bool(value) and all(isinstance(index, int) and index >= 0 for index in value)
    return value in (None, "auto") or (isinstance(value, int) and (value >= 1 or value == -1))
