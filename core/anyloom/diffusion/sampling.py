"""A sampling loop over any diffusers-like scheduler, with one seed per row."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

__all__ = ["Scheduler", "Trajectory", "row_generators", "row_noise"]


class Scheduler(Protocol):
    """The part of a diffusers scheduler that sampling uses."""

    timesteps: Tensor
    init_noise_sigma: Any

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
        """Choose the steps."""

    def scale_model_input(self, sample: Tensor, timestep: Any) -> Tensor:
        """Scale what the network reads at a step."""

    def step(self, model_output: Tensor, timestep: Any, sample: Tensor) -> Any:
        """Return an object whose ``prev_sample`` is the less noisy sample."""


def row_generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """Return one CPU generator per row, so that a row draws the same numbers in any batch and on any device."""
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]


def row_noise(shape: Sequence[int], generators: Sequence[torch.Generator], like: Tensor) -> Tensor:
    """Draw ``(B, *shape)`` standard normal numbers, row by row, in float32 on the device of ``like``.

    >>> one = row_noise((2,), row_generators([7]), torch.zeros(1))
    >>> bool((row_noise((2,), row_generators([3, 7]), torch.zeros(1))[1] == one[0]).all())
    True
    """
    return torch.stack([torch.randn(tuple(shape), generator=g, dtype=torch.float32) for g in generators]).to(
        like.device
    )


class Trajectory:
    """Noisy samples on their way to clean ones; a loop calls :meth:`seen` and :meth:`follow` for each of the timesteps.

    Args:
        scheduler: Left as it is: a copy is worked on.
        noise: Standard normal start ``(B, ...)``.
        steps: Number of denoising steps.
        generators: One per row, for schedulers that draw noise at each step.

    Attributes:
        samples: Where they are, ``(B, ...)``.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        noise: Tensor,
        steps: int,
        generators: Sequence[torch.Generator] | None = None,
    ) -> None:
        self._scheduler = copy.deepcopy(scheduler)
        self._scheduler.set_timesteps(steps, device=noise.device)
        self._extra = _generator_argument(self._scheduler, generators)
        self.samples: Tensor = noise * self._scheduler.init_noise_sigma

    @property
    def timesteps(self) -> Tensor:
        """The steps, from noise to clean."""
        return self._scheduler.timesteps

    def seen(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """What the network reads at a step: samples ``(B, ...)`` and timesteps ``(B,)``."""
        x = self._scheduler.scale_model_input(self.samples, step)
        return x, step.to(x.device).expand(len(x))

    def follow(self, prediction: Tensor, step: Tensor) -> None:
        """Take one step along a float32 prediction ``(B, ...)``."""
        self.samples = self._scheduler.step(prediction, step, self.samples, **self._extra).prev_sample

    def run(self, predict: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Go all the way, and return clean samples ``(B, ...)``.

        Args:
            predict: Noisy samples ``(B, ...)`` and timesteps ``(B,)`` to float32 predictions ``(B, ...)``, guided or
                not; see :func:`anyloom.diffusion.guidance.guided`.
        """
        for step in self.timesteps:
            self.follow(predict(*self.seen(step)), step)
        return self.samples


def _generator_argument(scheduler: Scheduler, generators: Sequence[torch.Generator] | None) -> dict[str, Any]:
    takes = "generator" in inspect.signature(scheduler.step).parameters
    return {"generator": list(generators)} if takes and generators is not None else {}
