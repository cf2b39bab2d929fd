"""A decoder that diffuses in the latent space of an autoencoder: loss and sampling, whatever the media are.

A subclass builds ``unet`` and ``autoencoder`` and says how features become what its network reads
(:meth:`LatentDiffusionDecoder.condition`, ``null_condition``, ``denoise``) and how tensors become media.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Final, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from anyloom.conversation.segments import Media
from anyloom.diffusion.doubts import latent_doubts
from anyloom.diffusion.draws import RowDraws
from anyloom.diffusion.guidance import Shown, guided
from anyloom.diffusion.objective import Noised
from anyloom.diffusion.options import DiffusionSampling, LatentDiffusionConfig
from anyloom.diffusion.pictures import to_picture
from anyloom.diffusion.rehearsal import peak_bytes
from anyloom.diffusion.sampling import Trajectory
from anyloom.diffusion.stored import StoredDenoiser
from anyloom.diffusion.widening import widen_input
from anyloom.errors import ConfigError
from anyloom.interfaces.decoder import Condition, Doubt

__all__ = ["LatentDiffusionDecoder", "Part"]

Part = Literal["denoiser", "autoencoder"]
_LOOKED_AT: Final = 16
"""Longest side of latents that are decoded for a look, in latents."""

_TILE: Final = 256
"""Side of the squares whose memory is told where none are chosen."""

_TOGETHER: Final = 4
"""How many media are decoded together where the memory of a batch is told."""


class LatentDiffusionDecoder(StoredDenoiser):
    """Base of latent diffusion decoders (arXiv 2112.10752)."""

    class Config(LatentDiffusionConfig):
        """Options of every latent diffusion decoder; see its base."""

    class Sampling(DiffusionSampling):
        """How media are made; see its base."""

    config: Config
    trained_part: Part | None = None
    beside_denoiser: ClassVar[tuple[str, ...]] = ("autoencoder.",)
    """Name prefixes of parameters that are not trained with the denoiser."""

    def finish_parts(self) -> None:
        """Apply the options to the networks; subclasses call it when these exist."""
        widen_input(self.unet, self.denoiser_channels + self.reference_channels)
        dtype = getattr(torch, self.config.dtype)
        nn.Module.to(self.unet, dtype)  # diffusers' own warns of parts to be kept in float32, of which there are none
        nn.Module.to(self.autoencoder.vae, torch.float32 if dtype == torch.float16 else dtype)
        if self.config.attention == "eager":
            from diffusers.models.attention_processor import AttnProcessor

            self.unet.set_attn_processor(AttnProcessor())
            self.autoencoder.vae.set_attn_processor(AttnProcessor())
        self.autoencoder.slicing = self.config.slicing
        self.autoencoder.tile = (self.config.tile or 0) // self.config.autoencoder.reduction
        if self.config.gradient_checkpointing:
            self.enable_checkpointing()
        if self.config.compile:
            self.unet.compile()  # in place: names of parameters stay
        self.train_only(None if self.config.freeze else "denoiser")

    def enable_checkpointing(self) -> None:
        """Turn on the denoiser's gradient checkpointing."""
        self.unet.enable_gradient_checkpointing()

    def train_only(self, part: Part | None) -> None:
        """Let the parameters of one part be trained and fix all others; None fixes everything."""
        self.trained_part = part
        self.requires_grad_(False)
        for parameter in self.part_parameters(part) if part else ():
            parameter.requires_grad_(True)
        self.train(part is not None)

    def part_parameters(self, part: Part) -> Iterator[nn.Parameter]:
        """Parameters of the autoencoder, or of all that is trained with the denoiser.

        Without dropped conditions the null takes no part in any loss, so it is not among them: processes that train
        together wait for the gradient of every parameter that asks for one.
        """
        if part == "autoencoder":
            yield from self.autoencoder.parameters()
            return
        for name, parameter in self.named_parameters():
            if not name.startswith(self.beside_denoiser) and (name != "null" or self.config.condition_dropout > 0):
                yield parameter

    def train(self, mode: bool = True) -> LatentDiffusionDecoder:
        """Switch to training mode; a frozen decoder stays in evaluation mode."""
        super().train(mode and self.trained_part is not None)
        return self

    @abstractmethod
    def to_media(self, decoded: Tensor, seeds: Sequence[int], features: Tensor) -> list[Media]:
        """Make media of the autoencoder's output ``(B, ...)``."""

    def forward(self, condition: Condition, targets: Tensor, seeds: Sequence[int] | Tensor | None = None) -> Tensor:
        """Diffusion loss ``(B,)``; see :meth:`anyloom.interfaces.Decoder.forward`."""
        latents, reference = self.both_latents(condition, targets)
        return self.latent_loss(condition.features, latents, reference, seeds)

    @torch.no_grad()
    def both_latents(self, condition: Condition, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Latents ``(B, Z, ...)`` of targets ``(B, ...)`` and of the condition's references.

        One pass of the autoencoder whether there are references or not: processes that share its parameters run it
        equally often.
        """
        self._check_reference(condition)
        if condition.encoded:
            reference = condition.reference
            return targets, self.no_reference(targets) if reference is None else self._where_any(condition, reference)
        if condition.reference is None:
            return self.latents(targets), self.no_reference(targets)
        both = self.latents(torch.cat([targets, condition.reference.to(targets)]))
        latents, reference = both.chunk(2)
        return latents, self._where_any(condition, reference)

    def latent_encoder(self) -> nn.Module:
        """The autoencoder."""
        return self.autoencoder

    @torch.no_grad()
    def latents(self, targets: Tensor) -> Tensor:
        """Standardised latents ``(B, Z, ...)`` of preprocessed targets ``(B, ...)``, without gradient."""
        return self.autoencoder.encode(targets)

    @torch.no_grad()
    def reference_latents(self, condition: Condition) -> Tensor:
        """Latents of the references of B rows ``(B, Z, ...)``, zeros where there is none.

        Raises:
            anyloom.errors.ConfigError: The decoder uses no reference.
        """
        self._check_reference(condition)
        if condition.reference is None:
            return self.no_reference(condition.features)
        return self._where_any(condition, self.latents(condition.reference.to(condition.features.device)))

    def _check_reference(self, condition: Condition) -> None:
        if condition.reference is None:
            return
        if not self.uses_reference:
            raise ConfigError("this decoder takes no reference", where=type(self).__name__, fix="set reference: true")
        if len(condition.reference) != len(condition.features):
            what = f"{len(condition.reference)} references for {len(condition.features)} rows"
            raise ConfigError(what, where=type(self).__name__, fix="give one per row, zeros where there is none")

    @staticmethod
    def _where_any(condition: Condition, latents: Tensor) -> Tensor:
        """Latents of references with zeros in rows that have none; without ``has_reference`` all have one."""
        if condition.has_reference is None:
            return latents
        has = condition.has_reference.to(latents.device).view(-1, *[1] * (latents.ndim - 1))
        return torch.where(has, latents, torch.zeros_like(latents))

    @torch.no_grad()
    def doubts(self, condition: Condition, targets: Tensor) -> Iterator[Doubt]:
        """Latents of another scale than the denoiser's, and a prediction that is not the declared one."""
        latents, reference = self.both_latents(condition, targets)
        yield from latent_doubts(self, condition.features, latents, reference)

    def latent_loss(
        self,
        features: Tensor,
        latents: Tensor,
        reference: Tensor | None = None,
        seeds: Sequence[int] | Tensor | None = None,
    ) -> Tensor:
        """Diffusion loss ``(B,)`` for latents from :meth:`latents`, which may be cached.

        Conditions are dropped only while the decoder itself is trained: a frozen decoder learns nothing from a
        dropped condition, and the features would get no gradient.

        Args:
            features: Conditions ``(B, L, D)``.
            latents: Of the targets, ``(B, Z, ...)``.
            reference: Latents of the media that are edited, zeros where there is none; None for none at all.
            seeds: One per row, or None for the global state; see :meth:`anyloom.interfaces.Decoder.forward`.

        Raises:
            anyloom.errors.FeatureSpaceError: The features are not ``(B, L, D)`` of this decoder's space.
        """
        draws = RowDraws(len(latents), seeds, latents.device)
        return self.errors(features, Noised.draw(latents, self.scheduler.alphas_cumprod, draws), draws, reference)

    def errors(self, features: Tensor, latents: Noised, draws: RowDraws, reference: Tensor | None = None) -> Tensor:
        """Weighted error ``(B,)`` of the prediction for noised latents; see :meth:`latent_loss`."""
        features = self.checked(features)
        reference = self.no_reference(features) if reference is None else reference
        shown = self.shown(features, reference, draws)
        if self.training:
            shown = self.dropped(shown, draws)
        output = self.predict(latents.noisy, latents.times, shown)
        c = self.config
        return latents.errors(output, prediction=c.prediction, weighting=c.weighting, gamma=c.min_snr_gamma)

    def autoencoder_loss(self, targets: Tensor) -> dict[str, Tensor]:
        """Loss of the autoencoder on targets ``(B, ...)``: ``loss`` and the terms it is made of."""
        output, kl = self.autoencoder.reconstruct(targets)
        terms = {**self.reconstruction_terms(output, targets), "kl": self.config.autoencoder.kl_weight * kl.mean()}
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}

    def reconstruction_terms(self, output: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Weighted terms of the reconstruction error."""
        error = output - targets
        return {"l1": error.abs().mean(), "l2": error.square().mean()}

    @torch.no_grad()
    def generate(self, condition: Condition, *, seeds: Sequence[int], sampling: Any = None) -> list[Media]:
        """Sample one media item per row; see :meth:`anyloom.interfaces.Decoder.generate`."""
        latents = self.generate_latents(condition, seeds=seeds, sampling=sampling)
        return self.to_media(self.autoencoder.decode(latents), seeds, condition.features)

    @torch.no_grad()
    def generate_latents(self, condition: Condition, *, seeds: Sequence[int], sampling: Any = None) -> Tensor:
        """Sample latents ``(B, Z, ...)``: :meth:`generate` without making media of them."""
        features, options = self.checked(condition.features), self.chosen(sampling)
        draws = RowDraws(len(features), seeds, features.device)
        reference = None if condition.reference is None else self.reference_latents(condition)
        trajectory = self.start(draws, options.denoising_steps)
        return trajectory.run(self.guided_prediction(features, reference, draws, options), self.look)

    @torch.no_grad()
    def look(self, latents: Tensor) -> list[Media]:
        """Small pictures of latents ``(B, Z, h, w)`` on their way; none where the autoencoder does not give pictures.

        Latents are averaged over squares first, until no side is longer than 16: so the autoencoder works on a small
        part of what the whole takes, whichever it is.
        """
        if latents.ndim != 4 or not self._gives_pictures():
            return []
        return [Media(self.modality, data=picture) for picture in to_picture(self._small_look(latents))]

    def _gives_pictures(self) -> bool:
        return len(self.latent_shape) == 3 and self.example().shape[1:2] == (3,)

    def _small_look(self, latents: Tensor) -> Tensor:
        factor = -(-max(latents.shape[-2:]) // _LOOKED_AT)
        small = F.avg_pool2d(latents, factor, ceil_mode=True) if factor > 1 else latents
        return self.autoencoder.decode(small)

    def working_bytes(self) -> dict[str, int]:
        """Bytes of one denoising step with its guidance, and of the autoencoder, also with options where they help.

        Where one medium is one row to the autoencoder, ``slicing`` helps only several that are made together. What
        ``compile`` does is not told: how much is held then is the compiler's choice, and not known from shapes.
        """
        scales = [self.config.guidance, *([self.config.reference_guidance] if self.uses_reference else [])]
        rows = 1 + sum(scale != 1 for scale in scales)
        noisy = torch.empty(rows, *self.latent_shape, device="meta")
        nulls = tuple(null[None].expand(rows, *null.shape) for null in self.null_condition())
        shown = Shown(nulls, self.no_reference(noisy))
        times = torch.zeros(rows, dtype=torch.long, device="meta")
        taken = {"denoising": peak_bytes(self.predict, noisy, times, shown)}
        taken |= self._autoencoder_choices()
        if self._gives_pictures():
            taken["preview"] = peak_bytes(self._small_look, noisy[:1])
        return taken

    def _autoencoder_choices(self) -> dict[str, int]:
        """Bytes of decoding one medium, or a few where slicing helps only these, also with what would take fewer."""
        c = self.config
        taken = {"autoencoder": self._autoencoder_bytes(1, c.tile, slicing=c.slicing)}
        if c.tile is None and max(self.latent_shape[-2:]) * c.autoencoder.reduction > _TILE:
            taken[f"autoencoder with tile: {_TILE}"] = self._autoencoder_bytes(1, _TILE, slicing=c.slicing)
        if c.slicing:
            return taken
        sliced = self._autoencoder_bytes(1, c.tile, slicing=True)
        if sliced < taken["autoencoder"]:  # frames of a clip are rows of the autoencoder's batch
            return taken | {"autoencoder with slicing: true": sliced}
        together = f"autoencoder, {_TOGETHER} together"
        taken[together] = self._autoencoder_bytes(_TOGETHER, c.tile, slicing=False)
        taken[f"{together} with slicing: true"] = self._autoencoder_bytes(_TOGETHER, c.tile, slicing=True)
        return taken

    def _autoencoder_bytes(self, count: int, tile: int | None, *, slicing: bool) -> int:
        """Decoding so many media: whole, or one square and twice the result, of which the squares are put together."""
        latents = torch.empty(count, *self.latent_shape, device="meta")
        beside = 0
        if tile is not None:
            side = max(tile // self.config.autoencoder.reduction, 1)
            latents = latents[..., :side, :side]
            beside = 2 * 4 * count * self.example().numel()
        before, self.autoencoder.slicing = self.autoencoder.slicing, slicing
        try:
            return peak_bytes(self.autoencoder.decode, latents) + beside
        finally:
            self.autoencoder.slicing = before

    def start(self, draws: RowDraws, denoising_steps: int) -> Trajectory:
        """Noise of each row, and the way from there.

        Raises:
            anyloom.errors.ConfigError: There are more denoising steps than the schedule has.
        """
        if denoising_steps > self.schedule.num_train_timesteps:
            what = f"{denoising_steps} denoising steps, but the schedule has {self.schedule.num_train_timesteps}"
            raise ConfigError(what, where="denoising_steps", fix="take fewer")
        noise = draws.normal(self.latent_shape)
        return Trajectory(self.scheduler, noise=noise, denoising_steps=denoising_steps, generators=draws.generators)

    def guided_prediction(
        self, features: Tensor, reference: Tensor | None, draws: RowDraws, sampling: DiffusionSampling
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The guided prediction under features ``(B, L, D)``, for noisy latents and times; see :meth:`generate`.

        Args:
            features: Conditions ``(B, L, D)``.
            reference: From :meth:`reference_latents`; None for no guidance by it.
            draws: Where chance in the condition comes from.
            sampling: From :meth:`anyloom.interfaces.Decoder.chosen`.
        """
        beside = self.no_reference(features) if reference is None else reference
        again = draws.copy()  # a negative condition gets the noise that the condition gets
        shown = self.shown(features, beside, draws, sampling=True)
        without = self.without_features(shown)
        if sampling.negative is not None:
            negative = self.checked(sampling.negative.to(features).expand_as(features))
            without = self.shown(negative, beside, again, sampling=True)
        branches, scales = [without, shown], [sampling.guidance]
        if reference is not None:
            branches.insert(0, self.without_reference(without))
            scales.insert(0, sampling.reference_guidance)
        return guided(self.predict, branches, [float(scale) for scale in scales if scale is not None])
