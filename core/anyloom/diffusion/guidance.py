"""Guidance: predictions under fewer and more conditions, extrapolated from the former to the latter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Condition", "guided"]


class Condition(NamedTuple):
    """What a network is shown beside noisy latents, one row per sample.

    Args:
        own: What the network reads of the features ``(B, ...)``.
        drawn: Drawing of the features and its variance ``(B, 2 * Z * ...)``, or ``(B, 0)``.
        source: Latents of the media that are edited ``(B, Z, ...)``, zeros where there is none, or ``(B, 0, ...)``.
    """

    own: Tensor
    drawn: Tensor
    source: Tensor


Denoise = Callable[[Tensor, Tensor, Condition], Tensor]


def guided(
    denoise: Denoise, branches: Sequence[Condition], scales: Sequence[float]
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the guided prediction as a function of noisy samples ``(B, ...)`` and timesteps ``(B,)``.

    With predictions ``e_0, e_1, ...`` of the branches and scales ``s_1, ...`` it is

        e_0 + s_1 (e_1 - e_0) + s_2 (e_2 - e_1) + ...

    One scale is classifier-free guidance (Ho and Salimans, arXiv 2207.12598), two are InstructPix2Pix's (arXiv
    2211.09800, eq. 3). All branches run as one batch; a branch that cancels out is not run.

    Args:
        denoise: Network: noisy samples, timesteps and a condition to predictions, all of the same rows.
        branches: Conditions from the least to the most that is shown, at least one.
        scales: One per branch but the first.
    """
    used, steps = _without_cancelled(branches, scales)
    together = used[0] if len(used) == 1 else Condition(*(torch.cat(parts) for parts in zip(*used)))

    def predict(noisy: Tensor, timesteps: Tensor) -> Tensor:
        output = denoise(torch.cat([noisy] * len(used)), torch.cat([timesteps] * len(used)), together).float()
        outputs = output.chunk(len(used))
        result = outputs[0]
        for scale, before, after in zip(steps, outputs, outputs[1:]):
            result = result + scale * (after - before)
        return result

    return predict


def _without_cancelled(branches: Sequence[Condition], scales: Sequence[float]) -> tuple[list[Condition], list[float]]:
    """Leave out branches of weight zero: a first one before scale 1, and one between two equal scales."""
    used, steps = list(branches[:1]), list[float]()
    for branch, scale in zip(branches[1:], scales, strict=True):
        if steps[-1:] == [scale] or (not steps and scale == 1):
            used[-1] = branch
        else:
            used.append(branch)
            steps.append(scale)
    return used, steps
