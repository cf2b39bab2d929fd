"""The way from noise to samples, over any diffusers-like scheduler."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.interfaces.progress import report_look, report_progress

__all__ = ["Scheduler", "Trajectory"]


class Scheduler(Protocol):
    """The part of a diffusers scheduler that sampling uses."""

    timesteps: Tensor
    init_noise_sigma: Any

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
        """Choose the steps."""

    def scale_model_input(self, sample: Tensor, timestep: Any) -> Tensor:
        """Scale what the network reads at a step, ``(B, ...)``."""

    def step(self, model_output: Tensor, timestep: Any, sample: Tensor) -> Any:
        """Return an object whose ``prev_sample`` ``(B, ...)`` is the less noisy sample."""


class Trajectory:
    """Noisy samples on their way to clean ones; a loop calls :meth:`inputs` and :meth:`advance` for each time.

    Args:
        scheduler: Left as it is: a copy is worked on.
        noise: Standard normal start ``(B, ...)``.
        denoising_steps: How many.
        generators: One per row, for schedulers that draw noise at each step.

    Attributes:
        samples: Where they are, ``(B, ...)``.
        estimate: Where they seem to go, ``(B, ...)``; the samples themselves where the scheduler does not say.

    >>> from anyloom.diffusion.schedule import Schedule, build_scheduler
    >>> scheduler = build_scheduler(Schedule(scheduler="DDIMScheduler"), "epsilon")
    >>> way = Trajectory(scheduler, noise=torch.zeros(1, 2), denoising_steps=4)
    >>> way.run(lambda samples, times: torch.zeros_like(samples))
    tensor([[0., 0.]])
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        noise: Tensor,
        denoising_steps: int,
        generators: Sequence[torch.Generator] | None = None,
    ) -> None:
        self._scheduler = copy.deepcopy(scheduler)
        self._scheduler.set_timesteps(denoising_steps, device=noise.device)
        self._extra = _generator_argument(self._scheduler, generators)
        self._done = 0
        self.samples: Tensor = noise * self._scheduler.init_noise_sigma
        self.estimate: Tensor = self.samples

    @property
    def times(self) -> Tensor:
        """The diffusion times ``(S,)`` that are visited, from noise to clean; a time may come twice."""
        return self._scheduler.timesteps

    def inputs(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """What the network reads at a time: samples ``(B, ...)`` and times ``(B,)``."""
        x = self._scheduler.scale_model_input(self.samples, time)
        return x, time.to(x.device).expand(len(x))

    def advance(self, prediction: Tensor, time: Tensor) -> None:
        """Take one step along a float32 prediction ``(B, ...)``."""
        step = self._scheduler.step(prediction, time, self.samples, **self._extra)
        self.samples = step.prev_sample
        estimate = getattr(step, "pred_original_sample", None)
        self.estimate = self.samples if estimate is None else estimate
        self._done += 1
        report_progress(self._done, len(self.times))

    def run(
        self, predict: Callable[[Tensor, Tensor], Tensor], look: Callable[[Tensor], Sequence[Media]] | None = None
    ) -> Tensor:
        """Go all the way, and return clean samples ``(B, ...)``.

        Args:
            predict: Noisy samples ``(B, ...)`` and times ``(B,)`` to float32 predictions ``(B, ...)``, guided or
                not; see :func:`anyloom.diffusion.guidance.guided`.
            look: Estimates ``(B, ...)`` to what they look like, for whoever watches.
        """
        for time in self.times:
            self.advance(predict(*self.inputs(time)), time)
            if look is not None:
                report_look(self._done, len(self.times), partial(look, self.estimate))
        return self.samples


def _generator_argument(scheduler: Scheduler, generators: Sequence[torch.Generator] | None) -> dict[str, Any]:
    takes = "generator" in inspect.signature(scheduler.step).parameters
    return {"generator": list(generators)} if takes and generators is not None else {}
