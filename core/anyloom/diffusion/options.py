"""Options of latent diffusion decoders."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from anyloom.diffusion.autoencoder import AutoencoderSizes
from anyloom.diffusion.objective import Prediction, Weighting
from anyloom.diffusion.schedule import Schedule
from anyloom.interfaces.decoder import Decoder

__all__ = ["LatentDiffusionConfig"]


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
        sketch: Draw the features as latents in closed form, show the drawing to the network beside the noise, and
            let it correct the Gaussian denoiser around it; see :mod:`anyloom.diffusion.sketch`.
        source: Show the network the latents of the medium that is edited beside the noise (paper section 5.1). The
            weights of the added channels start at zero: the decoder has to be trained on edits to use them.
        feature_noise: Standard deviation of noise added to the features while the decoder itself is trained,
            in units of the features' own; makes it forgiving towards predicted features.
        start_noise: Standard deviation of the noise that sampling starts from; below 1 gives calmer results.
        condition_dropout: Share of samples whose condition is the null while the decoder itself is trained.
        source_dropout: Share of samples whose source is the null, zeros, likewise; drawn apart from the former.
        autoencoder: Sizes of the autoencoder.
        steps: Denoising steps, unless a call says otherwise.
        guidance: Guidance scale, unless a call says otherwise; 1 turns it off.
        source_guidance: Guidance scale of the source, unless a call says otherwise; 1 turns it off.
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
    source: bool = False
    feature_noise: float = Field(default=0.0, ge=0)
    start_noise: float = Field(default=1.0, ge=0)
    condition_dropout: float = Field(default=0.1, ge=0, le=1)
    source_dropout: float = Field(default=0.1, ge=0, le=1)
    autoencoder: AutoencoderSizes = AutoencoderSizes()
    steps: PositiveInt = 50
    guidance: float = 1.0
    source_guidance: float = 1.0
    attention: Literal["default", "eager"] = "default"
    gradient_checkpointing: bool = False
    weights: str | None = None
    download: bool = False
