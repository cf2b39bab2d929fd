"""Two coupled decoders at work: one loss at one diffusion time, and sampling in lockstep.

Shape legend: B samples, L feature steps, D feature dim.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.diffusion.coupling import ConditionCoupler
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.objective import Noised
from anyloom.diffusion.sampling import row_generators
from anyloom.errors import ConfigError

__all__ = ["Side", "joint_generate", "joint_latents", "joint_loss", "require_shared_times"]


@dataclass(frozen=True)
class Side:
    """What one of two coupled decoders works on.

    Args:
        decoder: The decoder.
        features: Conditions ``(B, L, D)``; row n of one side belongs to row n of the other.
        source: As in :meth:`anyloom.interfaces.Decoder.loss`.
    """

    decoder: LatentDiffusionDecoder
    features: Tensor
    source: Sequence[Tensor | None] | None = None


def require_shared_times(first: LatentDiffusionDecoder, second: LatentDiffusionDecoder) -> None:
    """Check that two decoders visit the same diffusion times.

    Raises:
        anyloom.errors.ConfigError: They do not.
    """
    visited = []
    for decoder in (first, second):
        scheduler = copy.deepcopy(decoder.scheduler)
        with torch.device("cpu"):
            scheduler.set_timesteps(10)
        visited.append((len(scheduler.alphas_cumprod), scheduler.timesteps.tolist()))
    if visited[0] != visited[1]:
        raise ConfigError(
            "the two decoders do not visit the same diffusion times, so they cannot be coupled",
            fix="give their schedules one scheduler, num_train_timesteps, timestep_spacing and steps_offset",
        )


def joint_loss(
    coupler: ConditionCoupler,
    pair: Sequence[Side],
    targets: Sequence[Tensor],
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Diffusion losses ``(B,)`` of both sides, with gradient to the coupler and to the features of both.

    Both targets of a row are noised at the same random diffusion time, so that each side sees the other's target as
    noisy as its own.

    Args:
        coupler: Joins their conditions.
        pair: The two sides.
        targets: Stack ``(B, ...)`` from each decoder's ``preprocess``.
        generator: CPU generator for repeatable noise and times; None takes the global state.
    """
    noised: list[Noised] = []
    for side, stack in zip(pair, targets, strict=True):
        side.decoder.checked(side.features)
        times = noised[0].steps if noised else None
        clean = side.decoder.latents(stack)
        noised.append(Noised.draw(clean, side.decoder.scheduler.alphas_cumprod, generator, times))
    features = coupler([side.features for side in pair], [n.noisy for n in noised], noised[0].steps)
    first, second = (
        side.decoder.errors(f, n, side.decoder.source_latents(side.source, f))
        for side, f, n in zip(pair, features, noised)
    )
    return first, second


@torch.no_grad()
def joint_generate(
    coupler: ConditionCoupler,
    pair: Sequence[Side],
    *,
    seeds: Sequence[Sequence[int]],
    steps: int | None = None,
    guidance: float | None = None,
    source_guidance: float | None = None,
) -> tuple[list[Media], list[Media]]:
    """Sample both sides together; see :func:`joint_latents`."""
    latents = joint_latents(coupler, pair, seeds=seeds, steps=steps, guidance=guidance, source_guidance=source_guidance)
    first, second = (
        side.decoder.to_media(side.decoder.autoencoder.decode(own), numbers, side.features)
        for side, own, numbers in zip(pair, latents, seeds)
    )
    return first, second


@torch.no_grad()
def joint_latents(
    coupler: ConditionCoupler,
    pair: Sequence[Side],
    *,
    seeds: Sequence[Sequence[int]],
    steps: int | None = None,
    guidance: float | None = None,
    source_guidance: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Sample latents ``(B, Z, ...)`` of both sides in lockstep: at each step either reads how far the other has come.

    Args:
        coupler: Joins their conditions.
        pair: The two sides, whose schedules :func:`require_shared_times` has accepted.
        seeds: For each side one seed per row. A side draws what :meth:`LatentDiffusionDecoder.generate` would.
        steps: Denoising steps; None takes the larger of the decoders' own.
        guidance: As in :meth:`anyloom.interfaces.Decoder.generate`.
        source_guidance: Likewise.
    """
    steps = steps or max(int(side.decoder.config.steps) for side in pair)
    generators = [row_generators(numbers) for numbers in seeds]
    sources = [None if s.source is None else s.decoder.source_latents(s.source, s.features) for s in pair]
    ways = [s.decoder.start(own, s.decoder.checked(s.features), steps) for s, own in zip(pair, generators)]
    drawn = [[g.clone_state() for g in own] for own in generators]
    for number, step in enumerate(ways[0].timesteps):
        seen = [way.seen(step) for way in ways]
        features = coupler([side.features for side in pair], [noisy for noisy, _ in seen], seen[0][1])
        for n, (side, way) in enumerate(zip(pair, ways)):
            # a condition that draws noise draws the same at every step, as it does when it is made once
            own = [g.clone_state() for g in drawn[n]] if number else generators[n]
            predict = side.decoder.guided_prediction(features[n], sources[n], own, guidance, source_guidance)
            way.follow(predict(*seen[n]), step)
    return ways[0].samples, ways[1].samples
