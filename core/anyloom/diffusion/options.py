"""Options of latent diffusion decoders."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, PositiveInt, model_validator
from pydantic.json_schema import SkipJsonSchema
from torch import Tensor

from anyloom.diffusion.autoencoder import AutoencoderSizes
from anyloom.diffusion.objective import Prediction, Weighting
from anyloom.diffusion.schedule import Schedule
from anyloom.interfaces.component import ComponentConfig
from anyloom.interfaces.decoder import Decoder
from anyloom.options import WrongOptionsError

__all__ = ["DiffusionSampling", "LatentDiffusionConfig"]


class LatentDiffusionConfig(Decoder.Config):
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
        reference: Show the network the latents of the medium that is edited beside the noise (paper section 5.1). The
            weights of the added channels start at zero: the decoder has to be trained on edits to use them.
        condition_dropout: Share of samples whose condition is the null while the decoder itself is trained.
        reference_dropout: Share of samples whose reference is the null, zeros, likewise; drawn apart from the former.
        autoencoder: Sizes of the autoencoder.
        denoising_steps: Denoising steps, unless a call says otherwise.
        guidance: Guidance scale, unless a call says otherwise; 1 turns it off.
        reference_guidance: Guidance scale of the reference, unless a call says otherwise; 1 turns it off.
        dtype: Precision of the networks; with ``float16`` the autoencoder stays float32, whose values grow too large.
        attention: ``eager`` computes attention without fused kernels: faster for short sequences on CPUs.
        slicing: Let the autoencoder take one row of a batch at a time: less memory, the same results.
        tile: Side of overlapping squares, in rows of what the autoencoder reads, that it takes one at a time where no
            gradient is needed: memory no longer grows with the size. Each square is normalised by itself, so results
            are close to those without and not the same. A multiple of four times the autoencoder's reduction.
        compile: Let ``torch.compile`` translate the denoiser when it first runs, which takes a minute or so and a C++
            compiler; later steps are faster.
        gradient_checkpointing: Compute activations again in the backward pass, for less memory.
        weights: Folder that a training stage or ``save`` wrote, or one in the published diffusers layout.
        download: Allow ``weights`` to name a repository on the Hugging Face hub, and fetch it.

    >>> LatentDiffusionConfig(space="here", dim=8, reference=True).reference_dropout
    0.1
    """

    space: str
    dim: PositiveInt
    tokens: PositiveInt = 1
    scale: Literal["raw", "unit", "standard"] = "raw"
    prediction: Prediction = "v_prediction"
    weighting: Weighting = "none"
    min_snr_gamma: float = 5.0
    schedule: Schedule = Schedule()
    reference: bool = False
    condition_dropout: float = Field(default=0.1, ge=0, le=1)
    reference_dropout: float = Field(default=0.1, ge=0, le=1)
    autoencoder: AutoencoderSizes = AutoencoderSizes()
    denoising_steps: PositiveInt = 50
    guidance: float = 1.0
    reference_guidance: float = 1.0
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    attention: Literal["default", "eager"] = "default"
    slicing: bool = False
    tile: PositiveInt | None = None
    compile: bool = False
    gradient_checkpointing: bool = False
    weights: str | None = None
    download: bool = False

    @model_validator(mode="after")
    def _tiles_meet(self) -> LatentDiffusionConfig:
        step = 4 * self.autoencoder.reduction  # a quarter of a square overlaps the next, in whole latents
        if self.tile is not None and self.tile % step:
            raise WrongOptionsError({"tile": f"must be a multiple of {step}, four times the autoencoder's reduction"})
        return self


class DiffusionSampling(ComponentConfig):
    """How latent diffusion decoders make media; what is None is as in the config.

    Args:
        denoising_steps: How many.
        guidance: Scale of the guidance by the features; 1 turns it off.
        reference_guidance: Scale of the guidance by the reference; 1 turns it off.
        negative: Features ``(B, L, D)`` or ``(L, D)`` to be guided away from, in place of the null; from Python only.

    >>> DiffusionSampling(denoising_steps=4).guidance is None
    True
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    denoising_steps: PositiveInt | None = None
    guidance: float | None = None
    reference_guidance: float | None = None
    negative: SkipJsonSchema[Tensor | None] = Field(default=None, exclude=True)
