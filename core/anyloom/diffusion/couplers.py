"""Two latent diffusion decoders that agree while they denoise: each one's condition attends to the other's side.

CoDi (arXiv 2305.11846, section 3.4) lets each denoiser attend to the other's noisy latents, seen through a small
encoder, at the same diffusion time. Here the denoisers stay as they are, whatever they are: the attention changes the
condition they read.

Shape legend: B samples, L feature steps, D feature dim, Z latent channels.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor

from anyloom.conversation.segments import Media
from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.diffusion.listening import Listener
from anyloom.diffusion.objective import Noised
from anyloom.errors import ConfigError
from anyloom.interfaces.component import ComponentConfig
from anyloom.interfaces.coupler import Coupler
from anyloom.interfaces.decoder import Condition, Decoder
from anyloom.options import WrongOptionsError

__all__ = ["ConditionCoupler"]


class ConditionCoupler(Coupler):
    """Residual cross-attention in both directions; starts as the identity."""

    class Config(ComponentConfig):
        """Sizes of the attention between two decoders.

        Args:
            width: Width of the attention.
            heads: Heads of the attention.
            places: Pieces that noisy latents are cut into along their first axis, which is time where there is time.
            detail: Means per piece and latent channel.
        """

        width: PositiveInt = 256
        heads: PositiveInt = 4
        places: PositiveInt = 16
        detail: PositiveInt = 4

        @model_validator(mode="after")
        def _divides(self) -> ConditionCoupler.Config:
            if self.width % self.heads:
                raise WrongOptionsError(
                    {"width": f"must be a multiple of heads, {self.width} is not one of {self.heads}"}
                )
            return self

    def __init__(self, config: Config, decoders: Sequence[Decoder]) -> None:
        super().__init__(config, decoders)
        first, second = _latent(decoders)
        _require_shared_times(first, second)
        sizes = config.model_dump()
        self.to_first = _listener(first, second, sizes)
        self.to_second = _listener(second, first, sizes)

    def join(self, features: Sequence[Tensor], noisy: Sequence[Tensor], times: Tensor) -> tuple[Tensor, Tensor]:
        """Return the coupled features of both sides.

        Args:
            features: ``(B, L, D)`` of each side.
            noisy: Noisy latents ``(B, Z, ...)`` of each side.
            times: Diffusion times ``(B,)``, the same for both.
        """
        first, second = features
        return self.to_first(first, second, noisy[1], times), self.to_second(second, first, noisy[0], times)

    def forward(
        self,
        decoders: Sequence[Decoder],
        conditions: Sequence[Condition],
        targets: Sequence[Tensor],
        seeds: Sequence[Sequence[int] | Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Diffusion losses ``(B,)`` of both sides; see :meth:`anyloom.interfaces.Coupler.forward`.

        Both targets of a row are noised at the same random diffusion time, so that each side sees the other's target
        as noisy as its own.
        """
        pair = _latent(decoders)
        noised, references, draws = list[Noised](), list[Tensor](), list[RowDraws]()
        for n, (decoder, condition, stack) in enumerate(zip(pair, conditions, targets, strict=True)):
            features = decoder.checked(condition.features)
            clean, reference = decoder.both_latents(condition, stack)
            draws.append(RowDraws(len(features), None if seeds is None else seeds[n], clean.device))
            times = noised[0].times if noised else None
            noised.append(Noised.draw(clean, decoder.scheduler.alphas_cumprod, draws[n], times))
            references.append(reference)
        joined = self.join([c.features for c in conditions], [n.noisy for n in noised], noised[0].times)
        first, second = (d.errors(*side) for d, side in zip(pair, zip(joined, noised, draws, references)))
        return first, second

    @torch.no_grad()
    def generate(
        self,
        decoders: Sequence[Decoder],
        conditions: Sequence[Condition],
        *,
        seeds: Sequence[Sequence[int]],
        sampling: Sequence[Any] = (None, None),
    ) -> tuple[list[Media], list[Media]]:
        """Sample both sides together; see :meth:`generate_latents`."""
        latents = self.generate_latents(decoders, conditions, seeds=seeds, sampling=sampling)
        first, second = (
            decoder.to_media(decoder.autoencoder.decode(own), numbers, condition.features)
            for decoder, own, numbers, condition in zip(_latent(decoders), latents, seeds, conditions)
        )
        return first, second

    @torch.no_grad()
    def generate_latents(
        self,
        decoders: Sequence[Decoder],
        conditions: Sequence[Condition],
        *,
        seeds: Sequence[Sequence[int]],
        sampling: Sequence[Any] = (None, None),
    ) -> tuple[Tensor, Tensor]:
        """Sample latents ``(B, Z, ...)`` of both sides in lockstep: at each step either reads how far the other is.

        Args:
            decoders: The two decoders.
            conditions: B rows of each.
            seeds: For each side one seed per row. A side draws what its decoder's own ``generate`` would.
            sampling: Options of each side; the larger number of denoising steps is taken for both.

        Raises:
            anyloom.errors.ConfigError: The decoders' schedules do not visit the same diffusion times.
        """
        pair = _latent(decoders)
        _require_shared_times(*pair)  # a schedule may have come with published weights
        options = [decoder.chosen(own) for decoder, own in zip(pair, sampling, strict=True)]
        denoising_steps = max(own.denoising_steps for own in options)
        features = [decoder.checked(condition.features) for decoder, condition in zip(pair, conditions, strict=True)]
        draws = [RowDraws(len(f), numbers, f.device) for f, numbers in zip(features, seeds, strict=True)]
        references = [None if c.reference is None else d.reference_latents(c) for d, c in zip(pair, conditions)]
        ways = [decoder.start(own, denoising_steps) for decoder, own in zip(pair, draws)]
        drawn = [own.copy() for own in draws]
        for number, time in enumerate(ways[0].times):
            inputs = [way.inputs(time) for way in ways]
            joined = self.join(features, [noisy for noisy, _ in inputs], inputs[0][1])
            for n, (decoder, way) in enumerate(zip(pair, ways)):
                # a condition that draws noise draws the same at every step, as it does when it is made once
                own = drawn[n].copy() if number else draws[n]
                predict = decoder.guided_prediction(joined[n], references[n], own, options[n])
                way.advance(predict(*inputs[n]), time)
        return ways[0].samples, ways[1].samples


def _latent(decoders: Sequence[Decoder]) -> tuple[LatentDiffusionDecoder, LatentDiffusionDecoder]:
    """The two decoders, if they are latent diffusion decoders."""
    pair = [decoder for decoder in decoders if isinstance(decoder, LatentDiffusionDecoder)]
    if len(pair) != 2 or len(decoders) != 2:
        others = [type(decoder).__name__ for decoder in decoders if not isinstance(decoder, LatentDiffusionDecoder)]
        what = f"{others[0]} is no latent diffusion decoder" if others else f"there are {len(decoders)} decoders"
        raise ConfigError(
            f"condition-coupler joins two latent diffusion decoders, but {what}",
            fix="leave the pair out, or name a coupler that can join it",
        )
    return pair[0], pair[1]


def _listener(own: LatentDiffusionDecoder, other: LatentDiffusionDecoder, sizes: dict[str, int]) -> Listener:
    dims = {"dim": own.feature_space().dim, "other_dim": other.feature_space().dim}
    return Listener(**dims, other_channels=other.latent_shape[0], **sizes)


def _require_shared_times(first: LatentDiffusionDecoder, second: LatentDiffusionDecoder) -> None:
    """Check that two decoders visit the same diffusion times."""
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
