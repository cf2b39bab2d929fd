"""A decoder that diffuses in the latent space of an autoencoder: loss and sampling, whatever the media are.

A subclass builds ``unet`` and ``autoencoder`` and says how features become what its network reads
(:meth:`LatentDiffusionDecoder.condition`, ``null_condition``, ``denoise``) and how tensors become media.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from anyloom.conversation.segments import Media
from anyloom.diffusion.autoencoder import LatentAutoencoder
from anyloom.diffusion.conditioned import ConditionedDenoiser
from anyloom.diffusion.guidance import guided
from anyloom.diffusion.objective import Noised
from anyloom.diffusion.options import LatentDiffusionConfig
from anyloom.diffusion.sampling import Trajectory, row_generators, row_noise
from anyloom.diffusion.sketch import Sketch
from anyloom.diffusion.weights import is_repository, load_saved, save
from anyloom.diffusion.widening import widen_input
from anyloom.errors import ConfigError

__all__ = ["LatentDiffusionDecoder", "Part"]

Part = Literal["denoiser", "autoencoder"]


class LatentDiffusionDecoder(ConditionedDenoiser):
    """Base of latent diffusion decoders (arXiv 2112.10752)."""

    class Config(LatentDiffusionConfig):
        """Options of every latent diffusion decoder; see its base."""

    config: Config
    autoencoder: LatentAutoencoder
    learning: Part | None = None
    fixed_options: tuple[str, ...] = ("prediction", "space", "dim", "tokens", "scale", "schedule.", "autoencoder.")
    """Options, as dotted prefixes, that must be those the weights were trained with ..."""
    free_options: tuple[str, ...] = (
        "schedule.scheduler",
        "schedule.timestep_spacing",
        "schedule.steps_offset",
        "schedule.set_alpha_to_one",
        "autoencoder.kl_weight",
        "autoencoder.scaling_factor",
    )
    """... and the exceptions from them."""
    apart: tuple[str, ...] = ("autoencoder.",)
    """Name prefixes of parameters that are not trained with the denoiser."""

    def settle(self) -> None:
        """Apply attention, checkpointing and freezing; subclasses call it when their parts exist."""
        if self.config.sketch and self.sketch is None:
            self.sketch = Sketch(self.config.tokens * self.config.dim, self.latent_shape)
            nn.init.zeros_(self.unet.conv_out.weight)
            nn.init.zeros_(self.unet.conv_out.bias)
        widen_input(self.unet, self.denoiser_channels + self.source_channels)
        if self.config.attention == "eager":
            from diffusers.models.attention_processor import AttnProcessor

            self.unet.set_attn_processor(AttnProcessor())
            self.autoencoder.vae.set_attn_processor(AttnProcessor())
        if self.config.gradient_checkpointing:
            self.enable_checkpointing()
        self.learn(None if self.config.freeze else "denoiser")

    def enable_checkpointing(self) -> None:
        """Turn on the denoiser's gradient checkpointing."""
        self.unet.enable_gradient_checkpointing()

    def learn(self, part: Part | None) -> None:
        """Let the parameters of one part be trained and fix all others; None fixes everything."""
        self.learning = part
        self.requires_grad_(False)
        for parameter in self.part_parameters(part) if part else ():
            parameter.requires_grad_(True)
        self.train(part is not None)

    def part_parameters(self, part: Part) -> Iterator[nn.Parameter]:
        """Parameters of the autoencoder, or of all that is trained with the denoiser."""
        if part == "autoencoder":
            return self.autoencoder.parameters()
        return (p for n, p in self.named_parameters() if not n.startswith(self.apart))

    def train(self, mode: bool = True) -> LatentDiffusionDecoder:
        """Switch to training mode; a frozen decoder stays in evaluation mode."""
        super().train(mode and self.learning is not None)
        return self

    @abstractmethod
    def to_media(self, decoded: Tensor, seeds: Sequence[int], features: Tensor) -> list[Media]:
        """Make media of the autoencoder's output ``(B, ...)``."""

    def loss(self, features: Tensor, targets: Tensor, source: Sequence[Tensor | None] | None = None) -> Tensor:
        """Diffusion loss ``(B,)``; see :meth:`anyloom.interfaces.Decoder.loss`."""
        return self.latent_loss(features, self.latents(targets), source=self.source_latents(source, features))

    @torch.no_grad()
    def latents(self, targets: Tensor) -> Tensor:
        """Standardised latents ``(B, Z, ...)`` of preprocessed targets ``(B, ...)``, without gradient."""
        return self.autoencoder.encode(targets)

    @torch.no_grad()
    def source_latents(self, source: Sequence[Tensor | None] | None, features: Tensor) -> Tensor:
        """Latents of the sources of rows ``(B, L, D)``: ``(B, Z, ...)``, zeros where there is none.

        Raises:
            anyloom.errors.ConfigError: The decoder uses no source, or there is not one entry per row.
        """
        latents = self.no_source(features)
        if source is None:
            return latents
        if not self.uses_source:
            raise ConfigError("this decoder takes no source", where=type(self).__name__, fix="set source: true")
        if len(source) != len(features):
            raise ConfigError(f"{len(source)} sources for {len(features)} rows", fix="give one or None per row")
        rows = [n for n, media in enumerate(source) if media is not None]
        if rows:
            latents[rows] = self.latents(torch.stack([m for m in source if m is not None]).to(latents.device))
        return latents

    def latent_loss(
        self,
        features: Tensor,
        latents: Tensor,
        generator: torch.Generator | None = None,
        source: Tensor | None = None,
    ) -> Tensor:
        """Diffusion loss ``(B,)`` for latents from :meth:`latents`, which may be cached.

        Conditions are dropped only while the decoder itself is trained: a frozen decoder learns nothing from a
        dropped condition, and the features would get no gradient.

        Args:
            features: Conditions ``(B, L, D)``.
            latents: Of the targets, ``(B, Z, ...)``.
            generator: CPU generator for repeatable noise and steps; None takes the global state.
            source: Latents of the media that are edited, zeros where there is none; None for none at all.

        Raises:
            anyloom.errors.FeatureSpaceError: The features are not ``(B, L, D)`` of this decoder's space.
        """
        return self.errors(features, Noised.draw(latents, self.scheduler.alphas_cumprod, generator), source)

    def errors(self, features: Tensor, latents: Noised, source: Tensor | None = None) -> Tensor:
        """Weighted error ``(B,)`` of the prediction for noised latents; see :meth:`latent_loss`."""
        source = self.no_source(features) if source is None else source
        shown = self.shown(self.noised(self.checked(features)), source)
        if self.training:
            shown = self.dropped(shown)
        output = self.predict(latents.noisy, latents.steps, shown)
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
    def generate(
        self,
        features: Tensor,
        *,
        seeds: Sequence[int],
        steps: int | None = None,
        guidance: float | None = None,
        source: Sequence[Tensor | None] | None = None,
        source_guidance: float | None = None,
        negative: Tensor | None = None,
    ) -> list[Media]:
        """Sample one media item per row; see :meth:`anyloom.interfaces.Decoder.generate`.

        ``negative`` holds features ``(B, L, D)`` or ``(L, D)`` to be guided away from, in place of the null.
        """
        latents = self.generate_latents(
            features,
            seeds=seeds,
            steps=steps,
            guidance=guidance,
            source=source,
            source_guidance=source_guidance,
            negative=negative,
        )
        return self.to_media(self.autoencoder.decode(latents), seeds, features)

    @torch.no_grad()
    def generate_latents(
        self,
        features: Tensor,
        *,
        seeds: Sequence[int],
        steps: int | None = None,
        guidance: float | None = None,
        source: Sequence[Tensor | None] | None = None,
        source_guidance: float | None = None,
        negative: Tensor | None = None,
    ) -> Tensor:
        """Sample latents ``(B, Z, ...)``: :meth:`generate` without making media of them."""
        features = self.checked(features)
        if len(seeds) != len(features):
            raise ConfigError(f"{len(seeds)} seeds for {len(features)} rows", fix="give one seed per row")
        generators = row_generators(seeds)
        latents = None if source is None else self.source_latents(source, features)
        trajectory = self.start(generators, features, steps)
        predict = self.guided_prediction(features, latents, generators, guidance, source_guidance, negative)
        return trajectory.run(predict)

    def start(self, generators: Sequence[torch.Generator], like: Tensor, steps: int | None = None) -> Trajectory:
        """Noise of one row per generator, on the device of ``like``, and the way from there."""
        noise = self.config.start_noise * row_noise(self.latent_shape, generators, like)
        return Trajectory(self.scheduler, noise=noise, steps=steps or self.config.steps, generators=generators)

    def guided_prediction(
        self,
        features: Tensor,
        source: Tensor | None,
        generators: Sequence[torch.Generator],
        guidance: float | None = None,
        source_guidance: float | None = None,
        negative: Tensor | None = None,
    ) -> Callable[[Tensor, Tensor], Tensor]:
        """The guided prediction under features ``(B, L, D)``, for noisy latents and timesteps; see :meth:`generate`.

        Args:
            features: Conditions ``(B, L, D)``.
            source: From :meth:`source_latents`; None for no guidance by it.
            generators: One per row.
            guidance: Scale of the features; None takes the config's.
            source_guidance: Scale of the source; None takes the config's.
            negative: Features to be guided away from, in place of the null; noised like the others where they are.
        """
        beside = self.no_source(features) if source is None else source
        again = [generator.clone_state() for generator in generators]
        shown = self.shown(features, beside, generators)
        without = self.without_features(shown)
        if negative is not None:
            without = self.shown(self.checked(negative.expand_as(features)), beside, again)
        branches, scales = [without, shown], [_chosen(guidance, self.config.guidance)]
        if source is not None:
            branches.insert(0, self.without_source(branches[0]))
            scales.insert(0, _chosen(source_guidance, self.config.source_guidance))
        return guided(self.predict, branches, scales)

    def load_weights(self) -> None:
        """Load what ``weights`` names: a folder written by :meth:`save`, or the published layout."""
        if self.config.weights is not None and not load_saved(self, self.config.weights):
            self.load_published(self.config.weights)
            self.settle()

    def weight_files(self) -> list[Path]:
        """The folder ``weights`` names, unless that is a repository."""
        source = self.config.weights
        return [] if source is None or is_repository(source) else [Path(source)]

    def load_published(self, source: str) -> None:
        """Load the diffusers folder or repository ``source``; subclasses say which parts it has."""
        raise ConfigError("this decoder reads no published layout", where="weights", fix="give a saved folder")

    def save(self, folder: Any) -> None:
        """Write ``model.safetensors`` and ``config.json``, which ``weights: folder`` loads."""
        save(self, folder)


def _chosen(given: float | None, default: float) -> float:
    return default if given is None else given
