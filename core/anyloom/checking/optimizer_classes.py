"""Optimizers and schedules that a config names by their class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from anyloom.config.schema import OptimizerConfig, SchedulerConfig
from anyloom.discovery.targets import import_object, is_class_path
from anyloom.errors import ConfigError

__all__ = ["optimizer_by_class", "scheduler_by_class", "try_classes"]


def optimizer_by_class(
    class_path: str, init_args: Mapping[str, Any], parameters: Sequence[nn.Parameter], where: str = "module.optimizer"
) -> Optimizer:
    """Build an optimizer over parameters, all in one group.

    Raises:
        anyloom.errors.ConfigError: There is no such class, it is no optimizer, or it refuses its arguments.

    >>> layer = nn.Linear(2, 2)
    >>> optimizer_by_class("torch.optim.SGD", {"lr": 0.1}, list(layer.parameters())).param_groups[0]["lr"]
    0.1
    """
    kind = _class(class_path, Optimizer, where)
    return _built(kind, parameters, init_args, where)  # type: ignore[no-any-return]


def scheduler_by_class(
    config: SchedulerConfig, optimizer: Optimizer, *, where: str = "module.scheduler"
) -> LRScheduler:
    """Build a schedule of an optimizer's learning rates.

    Raises:
        anyloom.errors.ConfigError: There is no such class, it is no schedule, or it refuses its arguments.

    >>> optimizer = AdamW([nn.Parameter(torch.zeros(1))])
    >>> options = SchedulerConfig(class_path="torch.optim.lr_scheduler.StepLR", init_args={"step_size": 10})
    >>> type(scheduler_by_class(options, optimizer)).__name__
    'StepLR'
    """
    kind = _class(config.class_path, LRScheduler, where)
    if issubclass(kind, ReduceLROnPlateau):
        raise ConfigError(
            "ReduceLROnPlateau follows a measured value, not the steps",
            where=f"{where}.class_path",
            fix="name a schedule that needs steps or epochs alone",
        )
    return _built(kind, optimizer, config.init_args, where)  # type: ignore[no-any-return]


def try_classes(optimizer: OptimizerConfig, scheduler: SchedulerConfig | None) -> None:
    """Build what a config names, over one number, so that a mistake is found before a run.

    Raises:
        anyloom.errors.ConfigError: As the two functions above.

    >>> try_classes(OptimizerConfig(class_path="torch.optim.SGD", init_args={"lr": 0.1}), None)
    >>> try:
    ...     try_classes(OptimizerConfig(class_path="torch.optim.SGD", init_args={"speed": 0.1}), None)
    ... except ConfigError as error:
    ...     print(error.where)
    module.optimizer.init_args
    """
    number = [nn.Parameter(torch.zeros(1))]
    tried: Optimizer = AdamW(number)
    if optimizer.class_path is not None:
        tried = optimizer_by_class(optimizer.class_path, optimizer.init_args, number)
    if scheduler is not None:
        scheduler_by_class(scheduler, tried)


def _class(class_path: str, base: type, where: str) -> type:
    where = f"{where}.class_path"
    if not is_class_path(class_path):
        raise ConfigError(f"{class_path!r} is no path of a class", where=where, fix="write package.module.Class")
    module, _, name = class_path.rpartition(".")
    found = import_object(f"{module}:{name}", label=class_path, where=where)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ConfigError(f"{class_path} is no {base.__name__}", where=where, fix=f"name a class of {base.__module__}")
    return found


def _built(kind: type, first: Any, init_args: Mapping[str, Any], where: str) -> Any:
    try:
        return kind(first, **init_args)
    except Exception as error:
        raise ConfigError(
            f"{kind.__name__} refuses its arguments: {error}",
            where=f"{where}.init_args",
            fix=f"see the documentation of {kind.__module__}.{kind.__name__}",
        ) from error
