"""The ``model:`` section of a configuration."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, model_validator

from anyloom.diffusion.coupling import CouplerSizes
from anyloom.errors import nearest
from anyloom.options import WrongOptionsError

__all__ = ["CoupleConfig", "LossConfig", "ModalityConfig", "ModelConfig"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class ModalityConfig(_Section):
    """How one modality goes in and out.

    Args:
        encoder: Key in ``model.encoders``; gives the input features and the regression targets C_x(x).
        decoder: Key in ``model.decoders``; without one the model predicts features but makes no media.
        input_projector: Component that maps features to the LLM's width.
        output_projector: Component that maps hidden states to features.
        feature_weight: Weight (alpha) of the feature regression.
        diffusion_weight: Weight of L_DM; 0 skips it.
    """

    encoder: str
    decoder: str | None = None
    input_projector: dict[str, Any] = Field(default_factory=lambda: {"name": "mlp"})
    output_projector: dict[str, Any] = Field(default_factory=lambda: {"name": "mlp"})
    feature_weight: NonNegativeFloat = 1.0
    diffusion_weight: NonNegativeFloat = 1.0


class CoupleConfig(CouplerSizes):
    """Two modalities whose decoders agree with each other where one assistant message holds both.

    Args:
        pair: The two modalities; each needs a latent diffusion decoder.
    """

    pair: tuple[str, str]


class LossConfig(_Section):
    """The terms of L = alpha * MSE(c_MLLM, C_x(x)) + L_DM + L_t (paper section 3.2).

    Args:
        feature: ``mse`` as in the paper, or ``cosine`` (1 - cosine) as its release computes.
        text_weight: Weight of the token loss L_t.
        context_weight: Weight of the feature regression at media that stand in the prompt, as a share of
            that at targets. Trains the model to continue sequences; 0 is the paper.
        relative_to_change: If above 0, a medium's feature error weighs 1 / (mean squared distance to the medium
            before it + this), so that small edits count as much as large ones. 0 is the paper.
        feature_noise: Standard deviation of the Gaussian noise on input features in training.
        diffusion_limit: At most so many media per modality and batch enter L_DM; None takes all targets.
    """

    feature: Literal["mse", "cosine"] = "mse"
    text_weight: NonNegativeFloat = 1.0
    context_weight: NonNegativeFloat = 0.0
    relative_to_change: NonNegativeFloat = 0.0
    feature_noise: NonNegativeFloat = 0.0
    diffusion_limit: PositiveInt | None = None


class ModelConfig(_Section):
    """What :class:`anyloom.AnyToAnyModel` is assembled from.

    Args:
        llm: The language model component.
        encoders: Encoder components by a key of the user's choice.
        decoders: Decoder components by a key of the user's choice.
        modalities: By the modality's registered name.
        couple: Coupled decoders by a key of the user's choice; none by default.
        feature_steps: How runs of several steps are predicted: ``autoregressive``, each step fed back, or
            ``parallel``, all steps from the begin tag (no exposure bias).
        loss: Weights and forms of the loss terms.
        max_length: Longest sequence; older parts of longer ones are left out, media spans stay whole.
    """

    llm: dict[str, Any]
    encoders: dict[str, dict[str, Any]] = Field(default_factory=dict)
    decoders: dict[str, dict[str, Any]] = Field(default_factory=dict)
    modalities: dict[str, ModalityConfig] = Field(default_factory=dict)
    couple: dict[str, CoupleConfig] = Field(default_factory=dict)
    feature_steps: Literal["autoregressive", "parallel"] = "autoregressive"
    loss: LossConfig = LossConfig()
    max_length: PositiveInt | None = None

    @model_validator(mode="after")
    def _references(self) -> ModelConfig:
        problems = {}
        for name, modality in self.modalities.items():
            for key, table in (("encoder", self.encoders), ("decoder", self.decoders)):
                reference = getattr(modality, key)
                if reference is not None and reference not in table:
                    known = nearest(reference, table) or f"{key}s has only {sorted(table) or 'nothing'}"
                    problems[f"modalities.{name}.{key}"] = f"no {key} is called {reference!r} here; {known}"
        for key, couple in self.couple.items():
            without = [n for n in couple.pair if n not in self.modalities or self.modalities[n].decoder is None]
            if without:
                problems[f"couple.{key}.pair"] = f"no modality {without[0]!r} with a decoder here"
            elif couple.pair[0] == couple.pair[1]:
                problems[f"couple.{key}.pair"] = "a modality is not coupled with itself"
        if problems:
            raise WrongOptionsError(problems)
        return self
