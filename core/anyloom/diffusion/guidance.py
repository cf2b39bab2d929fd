"""Guidance: predictions under fewer and more conditions, extrapolated from the former to the latter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from anyloom.diffusion.draws import RowDraws

__all__ = ["Shown", "drop_rows", "guided"]


class Shown(NamedTuple):
    """What a denoising network is shown beside noisy latents, one row per sample.

    Args:
        features: What it reads of the features, ``(B, ...)`` each; see ``ConditionedDenoiser.condition``.
        reference: Latents of the media that are edited ``(B, Z, ...)``, zeros where there is none, or ``(B, 0, ...)``.

    >>> Shown((torch.zeros(2, 1, 8),), torch.zeros(2, 0, 4, 4)).reference.shape
    torch.Size([2, 0, 4, 4])
    """

    features: tuple[Tensor, ...]
    reference: Tensor


Denoise = Callable[[Tensor, Tensor, Shown], Tensor]


def drop_rows(parts: Sequence[Tensor], nulls: Sequence[Tensor], share: float, draws: RowDraws) -> tuple[Tensor, ...]:
    """Put nulls ``(...)`` in place of a random share of the rows, the same rows of all parts.

    Args:
        parts: What belongs together, ``(B, ...)`` each.
        nulls: One per part, of one row's shape.
        share: Probability of each row; at 0 nothing is drawn.
        draws: Where the chance comes from.

    >>> draws = RowDraws(2, [1, 2], torch.device("cpu"))
    >>> drop_rows([torch.ones(2, 3)], [torch.zeros(3)], 1.0, draws)[0].sum()
    tensor(0.)
    """
    if share <= 0:
        return tuple(parts)
    drop = draws.uniform() < share
    return tuple(
        torch.where(drop.view(-1, *[1] * (part.ndim - 1)), null.to(part), part)
        for part, null in zip(parts, nulls, strict=True)
    )


def guided(denoise: Denoise, branches: Sequence[Shown], scales: Sequence[float]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the guided prediction as a function of noisy samples ``(B, ...)`` and times ``(B,)``.

    With predictions ``e_0, e_1, ...`` of the branches and scales ``s_1, ...`` it is

        e_0 + s_1 (e_1 - e_0) + s_2 (e_2 - e_1) + ...

    One scale is classifier-free guidance (Ho and Salimans, arXiv 2207.12598), two are InstructPix2Pix's (arXiv
    2211.09800, eq. 3). All branches run as one batch; a branch that cancels out is not run.

    Args:
        denoise: Network: noisy samples, times and what is shown to predictions, all of the same rows.
        branches: From the least to the most that is shown, at least one.
        scales: One per branch but the first.

    >>> def network(noisy, times, shown):
    ...     return shown.features[0]
    >>> less, more = (Shown((torch.tensor([value]),), torch.zeros(1)) for value in (1.0, 3.0))
    >>> guided(network, [less, more], [2.0])(torch.zeros(1), torch.zeros(1)).item()
    5.0
    """
    used, factors = _without_cancelled(branches, scales)
    together = used[0] if len(used) == 1 else _concatenated(used)

    def predict(noisy: Tensor, times: Tensor) -> Tensor:
        output = denoise(torch.cat([noisy] * len(used)), torch.cat([times] * len(used)), together).float()
        outputs = output.chunk(len(used))
        result = outputs[0]
        for factor, before, after in zip(factors, outputs, outputs[1:]):
            result = result + factor * (after - before)
        return result

    return predict


def _concatenated(branches: Sequence[Shown]) -> Shown:
    features = tuple(torch.cat(parts) for parts in zip(*(branch.features for branch in branches), strict=True))
    return Shown(features, torch.cat([branch.reference for branch in branches]))


def _without_cancelled(branches: Sequence[Shown], scales: Sequence[float]) -> tuple[list[Shown], list[float]]:
    """Leave out branches of weight zero: a first one before scale 1, and one between two equal scales."""
    used, factors = list(branches[:1]), list[float]()
    for branch, scale in zip(branches[1:], scales, strict=True):
        if factors[-1:] == [scale] or (not factors and scale == 1):
            used[-1] = branch
        else:
            used.append(branch)
            factors.append(scale)
    return used, factors
