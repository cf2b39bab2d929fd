"""The optimizer of a run, with warm-up and cosine decay over the run, whether it ends by steps or by time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.utilities import GradClipAlgorithmType
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from anyloom.checking.optimizer_classes import optimizer_by_class, scheduler_by_class
from anyloom.config.schema import OptimizerConfig, SchedulerConfig
from anyloom.errors import ConfigError
from anyloom.training.muon import MuonWithAdamW

__all__ = ["clip_gradients", "gradient_norm", "make_optimizer", "progress", "schedule"]


def schedule(share: float, warmup: float, final: float) -> float:
    """Learning rate factor after ``share`` (0..1) of a run.

    >>> [round(schedule(s, 0.1, 0.0), 3) for s in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.01, 0.5, 1.0, 0.5, 0.0]
    """
    if share < warmup:
        return max(share / warmup, 0.01)
    rest = (share - warmup) / (1 - warmup)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * min(rest, 1.0)))


def progress(trainer: lightning.Trainer) -> float:
    """Share of the run that is over: of its steps, or of its time where ``max_time`` ends it sooner.

    Clocks differ, so the first process's share is everyone's.
    """
    steps = trainer.estimated_stepping_batches
    share = trainer.global_step / steps if steps and math.isfinite(steps) else 0.0
    timers: list[Any] = [c for c in trainer.callbacks if isinstance(c, Timer) and c._duration]  # type: ignore[attr-defined]
    for timer in timers:
        share = max(share, timer.time_elapsed() / timer._duration)
    if timers and trainer.world_size > 1:
        share = trainer.strategy.broadcast(share)
    return min(share, 1.0)


def make_optimizer(
    parameters: Iterable[tuple[str, nn.Parameter]],
    config: OptimizerConfig,
    trainer: lightning.Trainer,
    scheduler: SchedulerConfig | None = None,
) -> dict[str, Any]:
    """Return what ``configure_optimizers`` returns: an optimizer over the trainable parameters, and the schedule.

    Args:
        parameters: Named parameters; those without ``requires_grad`` are left out. Matrices decay, vectors do not.
        config: Numbers, or a class and its arguments.
        trainer: Tells how much of the run is over.
        scheduler: A schedule of another class than warm-up and cosine.

    Raises:
        anyloom.errors.ConfigError: A class cannot be imported or built, or is of another kind.
    """
    optimizer = _optimizer([(name, p) for name, p in parameters if p.requires_grad], config, trainer)
    if scheduler is not None:
        named = scheduler_by_class(scheduler, optimizer)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": named, "interval": scheduler.interval}}
    factor = LambdaLR(optimizer, lambda _: schedule(progress(trainer), config.warmup, config.final_lr_share))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": factor, "interval": "step"}}


def _optimizer(named: list[tuple[str, nn.Parameter]], config: OptimizerConfig, trainer: lightning.Trainer) -> Optimizer:
    trainable = [p for _, p in named]
    if config.class_path is not None:
        return optimizer_by_class(config.class_path, config.init_args, trainable)
    if config.hidden_matrices == "muon":
        if any(isinstance(p, DTensor) for p in trainable):
            raise ConfigError(
                "muon steps whole matrices, and this strategy splits them",
                where="module.optimizer.hidden_matrices",
                fix="use adamw, or trainer.strategy: ddp",
            )
        return MuonWithAdamW(named, lr=config.lr, betas=config.betas, weight_decay=config.weight_decay)
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return AdamW(
        [g for g in groups if g["params"]], lr=config.lr, betas=config.betas, fused=_fusable(trainable, trainer)
    )


def gradient_norm(optimizer: Optimizer) -> Tensor | None:
    """Norm ``()`` of all gradients of an optimizer's parameters, not waited for; None where there are none.

    >>> weight = nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([3.0, 4.0])
    >>> gradient_norm(torch.optim.SGD([weight], lr=0.1))
    tensor(5.)
    """
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if not gradients:
        return None
    norm = torch.nn.utils.get_total_norm(gradients)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def clip_gradients(module: lightning.LightningModule, optimizer: Optimizer, limit: float, algorithm: str) -> None:
    """Clip gradients by ``norm`` or ``value``; nothing happens if ``limit`` is 0.

    A norm that was taken of these gradients before (``module.gradient_norm``) is used and forgotten.

    Lightning refuses to clip under mixed precision when the optimizer is fused, since that one undoes the scaling
    of gradients itself. With bfloat16 nothing is scaled, and clipping is safe.
    """
    plugin = module.trainer.precision_plugin
    norm, module.gradient_norm = getattr(module, "gradient_norm", None), None  # type: ignore[assignment]
    if not limit:
        return
    if norm is not None and algorithm == "norm":
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm)
        return
    if isinstance(plugin, MixedPrecision) and plugin.scaler is None:
        Precision.clip_gradients(plugin, optimizer, limit, GradClipAlgorithmType(algorithm))
    else:
        module.clip_gradients(optimizer, limit, algorithm)


def _fusable(parameters: list[nn.Parameter], trainer: lightning.Trainer) -> bool:
    if getattr(trainer.precision_plugin, "scaler", None) is not None:
        return False
    return all(torch.is_floating_point(p) and p.device.type in ("cpu", "cuda") for p in parameters)
