"""A decoder that diffuses in the latent space of an autoencoder: loss and sampling, whatever the media are.

A subclass builds ``unet`` and ``autoencoder`` and says how features become what its network reads
(:meth:`LatentDiffusionDecoder.condition`, ``null_condition``, ``denoise``) and how tensors become media.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from anyloom.conversation.segments import Media
from anyloom.diffusion.autoencoder import AutoencoderSizes, LatentAutoencoder
from anyloom.diffusion.condition import drop_condition
from anyloom.diffusion.objective import Prediction, Weighting, denoising_loss
from anyloom.diffusion.sampling import row_generators, row_noise, sample
from anyloom.diffusion.schedule import Schedule, build_scheduler
from anyloom.diffusion.sketch import Sketch
from anyloom.diffusion.weights import is_repository, load_saved, save
from anyloom.errors import ConfigError, FeatureSpaceError
from anyloom.interfaces.decoder import Decoder
from anyloom.interfaces.feature_space import FeatureSpace

__all__ = ["LatentDiffusionDecoder", "Part"]

Part = Literal["denoiser", "autoencoder"]


class LatentDiffusionDecoder(Decoder):
    """Base of latent diffusion decoders (arXiv 2112.10752)."""

    class Config(Decoder.Config):
        """Options of every latent diffusion decoder.

        Args:
            space: Name of the feature space of the conditions.
            dim: D, their width.
            tokens: L, features per media item.
            scale: Their scale; see :class:`anyloom.interfaces.FeatureSpace`.
            prediction: What the network predicts.
            weighting: Weight of the squared error over noise levels; ``noise`` gives the paper's noise error.
            min_snr_gamma: Cap used by ``weighting: min_snr``.
            schedule: Noise schedule and sampler.
            sketch: Draw the features as latents in closed form, show the drawing to the network beside the noise, and
                let it correct the Gaussian denoiser around it; see :mod:`anyloom.diffusion.sketch`.
            feature_noise: Standard deviation of noise added to the features while the decoder itself is trained,
                in units of the features' own; makes it forgiving towards predicted features.
            start_noise: Standard deviation of the noise that sampling starts from; below 1 gives calmer results.
            condition_dropout: Share of samples whose condition is the null while the decoder itself is trained.
            autoencoder: Sizes of the autoencoder.
            steps: Denoising steps, unless a call says otherwise.
            guidance: Guidance scale, unless a call says otherwise; 1 turns it off.
            attention: ``eager`` computes attention without fused kernels: faster for short sequences on CPUs.
            gradient_checkpointing: Compute activations again in the backward pass, for less memory.
            weights: Folder that a training stage or ``save`` wrote, or one in the published diffusers layout.
            download: Allow ``weights`` to name a repository on the Hugging Face hub, and fetch it.
        """

        space: str
        dim: PositiveInt
        tokens: PositiveInt = 1
        scale: Literal["raw", "unit", "standard"] = "raw"
        prediction: Prediction = "v_prediction"
        weighting: Weighting = "none"
        min_snr_gamma: float = 5.0
        schedule: Schedule = Schedule()
        sketch: bool = False
        feature_noise: float = Field(default=0.0, ge=0)
        start_noise: float = Field(default=1.0, ge=0)
        condition_dropout: float = Field(default=0.1, ge=0, le=1)
        autoencoder: AutoencoderSizes = AutoencoderSizes()
        steps: PositiveInt = 50
        guidance: float = 1.0
        attention: Literal["default", "eager"] = "default"
        gradient_checkpointing: bool = False
        weights: str | None = None
        download: bool = False

    config: Config
    unet: Any
    autoencoder: LatentAutoencoder
    latent_shape: tuple[int, ...]
    feature_std: Tensor
    sketch: Sketch | None
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

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.scheduler = build_scheduler(config.schedule, config.prediction)
        self.null = nn.Parameter(torch.zeros(config.tokens, config.dim))
        self.register_buffer("feature_std", torch.ones(config.tokens * config.dim))
        self.sketch = None

    @property
    def denoiser_channels(self) -> int:
        """Channels that the denoiser reads: the noisy latents', and as many for the drawing where there is one."""
        return int(self.config.autoencoder.latent_channels) * (2 if self.config.sketch else 1)

    def settle(self) -> None:
        """Apply attention, checkpointing and freezing; subclasses call it when their parts exist."""
        if self.config.sketch and self.sketch is None:
            self.sketch = Sketch(self.config.tokens * self.config.dim, self.latent_shape)
            nn.init.zeros_(self.unet.conv_out.weight)
            nn.init.zeros_(self.unet.conv_out.bias)
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

    def feature_space(self) -> FeatureSpace:
        """Return the space its conditions must live in."""
        c = self.config
        return FeatureSpace(name=c.space, dim=c.dim, tokens=c.tokens, scale=c.scale)

    def null_features(self) -> Tensor:
        """The trained null condition ``(L, D)``."""
        return self.null

    @abstractmethod
    def condition(self, features: Tensor, generators: Sequence[torch.Generator] | None = None) -> Tensor:
        """Turn features ``(B, L, D)`` into what :meth:`denoise` reads.

        Args:
            features: Checked features.
            generators: One per row when sampling; None in training, where a subclass may draw noise levels.
        """

    @abstractmethod
    def null_condition(self) -> Tensor:
        """What :meth:`denoise` reads for one dropped condition, made from :attr:`null`."""

    @abstractmethod
    def denoise(self, noisy: Tensor, timesteps: Tensor, condition: Tensor) -> Tensor:
        """Run the network on latents ``(B, Z, ...)``, timesteps ``(B,)`` and conditions ``(B, ...)``."""

    @abstractmethod
    def to_media(self, decoded: Tensor, seeds: Sequence[int], features: Tensor) -> list[Media]:
        """Make media of the autoencoder's output ``(B, ...)``."""

    def fit_features(self, features: Tensor) -> None:
        """Take statistics from training features ``(N, L, D)``."""
        self.feature_std.copy_(features.flatten(1).float().std(0).clamp(min=1e-4))

    def fit_sketch(self, features: Tensor, latents: Tensor) -> None:
        """Fit the drawing to training features ``(N, L, D)`` and their latents ``(N, Z, ...)``."""
        if self.sketch is not None:
            self.sketch.fit(features, latents, self.config.feature_noise * self.feature_std)

    def _noised(self, features: Tensor) -> Tensor:
        """Add a random amount of noise to features while the decoder itself is trained."""
        if not (self.training and self.config.feature_noise):
            return features
        amount = self.config.feature_noise * torch.rand(len(features), 1, 1, device=features.device)
        return features + amount * self.feature_std.view(features.shape[1:]) * torch.randn_like(features)

    def _condition(self, features: Tensor, generators: Sequence[torch.Generator] | None = None) -> Tensor:
        """The condition and, flattened behind it, the drawing."""
        condition = self.condition(features, generators)
        return condition if self.sketch is None else torch.cat([condition.flatten(1), self.sketch.draw(features)], 1)

    def _null_condition(self) -> Tensor:
        null = self.null_condition()
        return null if self.sketch is None else torch.cat([null.flatten(), self.sketch.null])

    def _denoise(self, noisy: Tensor, timesteps: Tensor, condition: Tensor) -> Tensor:
        """The network in its own precision, or its correction of the Gaussian denoiser around the drawing."""
        dtype = self.unet.dtype
        if self.sketch is None:
            return self.denoise(noisy.to(dtype), timesteps, condition.to(dtype))
        shape = self.null_condition().shape
        own, drawn = condition[:, : shape.numel()], condition[:, shape.numel() :]
        drawing, variance = self.sketch.split(drawn)
        base = self.sketch.prediction(
            noisy, drawing, variance, timesteps, self.scheduler.alphas_cumprod, self.config.prediction
        )
        shown = torch.cat([noisy, drawing], 1).to(dtype)
        return base + self.denoise(shown, timesteps, own.view(-1, *shape).to(dtype))

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Diffusion loss ``(B,)``; see :meth:`anyloom.interfaces.Decoder.loss`."""
        return self.latent_loss(features, self.latents(targets))

    @torch.no_grad()
    def latents(self, targets: Tensor) -> Tensor:
        """Standardised latents ``(B, Z, ...)`` of preprocessed targets ``(B, ...)``, without gradient."""
        return self.autoencoder.encode(targets)

    def latent_loss(self, features: Tensor, latents: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Diffusion loss ``(B,)`` for latents from :meth:`latents`, which may be cached.

        Conditions are dropped only while the decoder itself is trained: a frozen decoder learns nothing from a
        dropped condition, and the features would get no gradient.

        Raises:
            anyloom.errors.FeatureSpaceError: The features are not ``(B, L, D)`` of this decoder's space.
        """
        condition = self._condition(self._noised(self.checked(features)))
        if self.training:
            condition = drop_condition(condition, self._null_condition(), self.config.condition_dropout)
        return denoising_loss(
            lambda noisy, steps: self._denoise(noisy, steps, condition),
            latents,
            self.scheduler.alphas_cumprod,
            prediction=self.config.prediction,
            weighting=self.config.weighting,
            gamma=self.config.min_snr_gamma,
            generator=generator,
        )

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
        self, features: Tensor, *, seeds: Sequence[int], steps: int | None = None, guidance: float | None = None
    ) -> list[Media]:
        """Sample one media item per row; see :meth:`anyloom.interfaces.Decoder.generate`."""
        latents = self.generate_latents(features, seeds=seeds, steps=steps, guidance=guidance)
        return self.to_media(self.autoencoder.decode(latents), seeds, features)

    @torch.no_grad()
    def generate_latents(
        self, features: Tensor, *, seeds: Sequence[int], steps: int | None = None, guidance: float | None = None
    ) -> Tensor:
        """Sample latents ``(B, Z, ...)``: :meth:`generate` without making media of them."""
        features = self.checked(features)
        if len(seeds) != len(features):
            raise ConfigError(f"{len(seeds)} seeds for {len(features)} rows", fix="give one seed per row")
        generators = row_generators(seeds)
        return sample(
            self._denoise,
            self.scheduler,
            noise=self.config.start_noise * row_noise(self.latent_shape, generators, features),
            condition=self._condition(features, generators),
            null=self._null_condition(),
            steps=steps or self.config.steps,
            guidance=self.config.guidance if guidance is None else guidance,
            generators=generators,
        )

    def checked(self, features: Tensor) -> Tensor:
        """Return the features if they are ``(B, L, D)`` of this decoder's space, else raise one clear error."""
        own = self.feature_space()
        if features.ndim != 3 or features.shape[1:] != (own.tokens, own.dim):
            raise FeatureSpaceError(
                f"features of shape {tuple(features.shape)} are not (B, {own.tokens}, {own.dim}) of {own}",
                where=type(self).__name__,
                fix="give the decoder the encoder's dim and tokens, or another encoder",
            )
        return features

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
