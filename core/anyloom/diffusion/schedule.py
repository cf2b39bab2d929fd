"""The noise schedule of a decoder as options, and the diffusers scheduler made from them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt

from anyloom.diffusion.objective import Prediction
from anyloom.errors import ConfigError, nearest
from anyloom.interfaces.component import ComponentConfig

__all__ = ["Schedule", "build_scheduler", "scheduler_defaults"]


class Schedule(ComponentConfig):
    """Noise schedule and sampler, under the names diffusers uses.

    With published weights, what is left out here is as the folder's ``scheduler`` says.

    Args:
        scheduler: Class name in diffusers, such as ``DDIMScheduler`` or ``DPMSolverMultistepScheduler``.
        num_train_timesteps: T.
        beta_start: First beta; not used by ``squaredcos_cap_v2``.
        beta_end: Last beta; not used by ``squaredcos_cap_v2``.
        beta_schedule: Shape of the betas.
        timestep_spacing: Which of the T steps a shorter sampling visits; ``trailing`` begins at the last one.
        steps_offset: Added to the steps of ``leading`` spacing.
        set_alpha_to_one: Let the last DDIM step end in a sample without noise.
        rescale_betas_zero_snr: Make the last step pure noise (arXiv 2305.08891); needs velocity prediction.
        skip_prk_steps: Leave out the Runge-Kutta steps that ``PNDMScheduler`` may begin with, as Stable Diffusion does.
        clip_sample: Cut samples at each step to -1 .. 1, which latents are not.
        options: Further options of the class, under its names.

    >>> Schedule(scheduler="DDIMScheduler", num_train_timesteps=100).beta_schedule
    'scaled_linear'
    """

    scheduler: str = "DDIMScheduler"
    num_train_timesteps: PositiveInt = 1000
    beta_start: PositiveFloat = 0.00085
    beta_end: PositiveFloat = 0.012
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2"] = "scaled_linear"
    timestep_spacing: Literal["leading", "linspace", "trailing"] = "leading"
    steps_offset: int = 1
    set_alpha_to_one: bool = False
    rescale_betas_zero_snr: bool = False
    skip_prk_steps: bool = True
    clip_sample: bool = False
    options: dict[str, Any] = Field(default_factory=dict)


def build_scheduler(schedule: Schedule, prediction: Prediction) -> Any:
    """Return the diffusers scheduler; its tensors stay on the CPU, also under a meta-device context.

    Raises:
        anyloom.errors.ConfigError: diffusers has no scheduler of that name, it has no such option, or it is of another
            kind than the variance-preserving ones that decoders sample with.

    >>> build_scheduler(Schedule(), "epsilon").config.prediction_type
    'epsilon'
    """
    cls = _scheduler_class(schedule.scheduler)
    known = scheduler_defaults(schedule.scheduler)
    if unknown := [name for name in schedule.options if name not in known]:
        raise ConfigError(
            f"{schedule.scheduler} has no option {unknown[0]!r}",
            where=f"schedule.options.{unknown[0]}",
            fix=nearest(unknown[0], list(known)) or f"it has {', '.join(known)}",
        )
    options = {"prediction_type": prediction, **schedule.model_dump(exclude={"scheduler", "options"})}
    if schedule.scheduler == "PNDMScheduler" and prediction == "sample":
        raise ConfigError(
            "PNDMScheduler samples from networks that predict epsilon or v_prediction",
            where="schedule.scheduler",
            fix="use another sampler, such as DDIMScheduler",
        )
    try:
        with torch.device("cpu"):
            scheduler = cls(**{k: v for k, v in {**options, **schedule.options}.items() if k in known})
    except (ValueError, NotImplementedError, TypeError) as error:
        raise ConfigError(f"{schedule.scheduler}: {' '.join(str(error).split())}", where="schedule") from error
    if not hasattr(scheduler, "alphas_cumprod"):
        raise ConfigError(
            f"{schedule.scheduler} has no alphas_cumprod, which the loss needs",
            where="schedule.scheduler",
            fix="use a scheduler of the DDPM family, such as DDIMScheduler",
        )
    return scheduler


def scheduler_defaults(name: str) -> Mapping[str, Any]:
    """Options of a scheduler class with its own defaults.

    >>> scheduler_defaults("PNDMScheduler")["skip_prk_steps"]
    False
    """
    parameters = inspect.signature(_scheduler_class(name)).parameters
    return {key: value.default for key, value in parameters.items()}


def _scheduler_class(name: str) -> Any:
    import diffusers

    cls = getattr(diffusers, name, None) if name.endswith("Scheduler") and "Flax" not in name else None
    if not isinstance(cls, type):
        raise ConfigError(
            f"diffusers has no scheduler {name!r}",
            where="schedule.scheduler",
            fix="use a class name such as DDIMScheduler",
        )
    return cls
