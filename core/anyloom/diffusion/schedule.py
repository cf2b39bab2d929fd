"""The noise schedule of a decoder as options, and the diffusers scheduler made from them."""

from __future__ import annotations

import inspect
from typing import Any, Literal

import torch
from pydantic import PositiveFloat, PositiveInt

from anyloom.diffusion.objective import Prediction
from anyloom.errors import ConfigError
from anyloom.interfaces.component import ComponentConfig

__all__ = ["Schedule", "build_scheduler"]


class Schedule(ComponentConfig):
    """Noise schedule and sampler, under the names diffusers uses.

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


def build_scheduler(schedule: Schedule, prediction: Prediction) -> Any:
    """Return the diffusers scheduler; its tensors stay on the CPU, also under a meta-device context.

    Raises:
        anyloom.errors.ConfigError: diffusers has no scheduler of that name.
    """
    import diffusers

    cls = getattr(diffusers, schedule.scheduler, None) if schedule.scheduler.endswith("Scheduler") else None
    if cls is None:
        raise ConfigError(
            f"diffusers has no scheduler {schedule.scheduler!r}",
            where="schedule.scheduler",
            fix="use a class name such as DDIMScheduler",
        )
    options = {"prediction_type": prediction, "clip_sample": False, **schedule.model_dump(exclude={"scheduler"})}
    known = inspect.signature(cls).parameters
    with torch.device("cpu"):
        return cls(**{k: v for k, v in options.items() if k in known})
