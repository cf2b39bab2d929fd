"""The ``model:`` section of a configuration."""

from __future__ import annotations

from typing import Any

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from anyloom.errors import nearest
from anyloom.options import Section, WrongOptionsError
from anyloom.sequence.interleave import ReferenceRule

__all__ = ["CoupleConfig", "LossConfig", "ModalityConfig", "ModelConfig"]


class ModalityConfig(Section):
    """How one modality goes in and out.

    Args:
        encoder: Key in ``model.encoders``; gives the features that are read and, unless ``target_encoder`` says
            otherwise, those that are predicted (C_x). Without one, media of the modality are made but not read.
        target_encoder: Key in ``model.encoders`` of the encoder whose features are predicted.
        decoder: Key in ``model.decoders``; without one the model predicts features but makes no media.
        representation: Component that puts media into the sequence and reads predictions out of it.
        feature_weight: Weight (alpha) of the representation's loss.
        diffusion_weight: Weight of the decoder's loss L_DM; 0 skips it.
        reference: Which medium an answer edits: ``named`` takes the one the data names and none otherwise; ``last``
            takes the last one of the modality where the data names none.

    >>> ModalityConfig(encoder="eye", target_encoder="other").predicted
    'other'
    """

    encoder: str | None = None
    target_encoder: str | None = None
    decoder: str | None = None
    representation: dict[str, Any] = Field(default_factory=lambda: {"name": "autoregressive"})
    feature_weight: NonNegativeFloat = 1.0
    diffusion_weight: NonNegativeFloat = 1.0
    reference: ReferenceRule = "named"

    @property
    def predicted(self) -> str | None:
        """Key of the encoder whose features are predicted; None if nobody gives them."""
        return self.target_encoder or self.encoder


class CoupleConfig(Section):
    """Two modalities whose decoders agree with each other where one assistant message holds both.

    Args:
        pair: The two modalities; each needs a decoder.
        coupler: Component that joins them; it is trained with the model.

    >>> CoupleConfig(pair=("picture", "sound")).coupler
    {'name': 'condition-coupler'}
    """

    pair: tuple[str, str]
    coupler: dict[str, Any] = Field(default_factory=lambda: {"name": "condition-coupler"})


class LossConfig(Section):
    """The terms of L = alpha * MSE(c_MLLM, C_x(x)) + L_DM + L_t (paper section 3.2) that belong to no modality.

    Args:
        text_weight: Weight of the token loss L_t.
        diffusion_limit: At most so many media per modality and batch enter L_DM; None takes all targets.

    >>> LossConfig(text_weight=0.5).diffusion_limit is None
    True
    """

    text_weight: NonNegativeFloat = 1.0
    diffusion_limit: PositiveInt | None = None


class ModelConfig(Section):
    """What :class:`anyloom.AnyToAnyModel` is assembled from.

    Args:
        llm: The language model component.
        encoders: Encoder components by a key of the user's choice.
        decoders: Decoder components by a key of the user's choice.
        modalities: By the modality's registered name.
        couple: Coupled decoders by a key of the user's choice; none by default.
        losses: Further loss components by a key of the user's choice, each with a ``weight``.
        loss: Weights of the terms that belong to no modality.
        max_length: Longest sequence; longer ones lose their oldest turns, each as a whole.

    >>> mine = {"name": "mine"}
    >>> config = ModelConfig(llm=mine, encoders={"eye": mine}, modalities={"picture": {"encoder": "eye"}})
    >>> config.modalities["picture"].feature_weight
    1.0
    """

    llm: dict[str, Any]
    encoders: dict[str, dict[str, Any]] = Field(default_factory=dict)
    decoders: dict[str, dict[str, Any]] = Field(default_factory=dict)
    modalities: dict[str, ModalityConfig] = Field(default_factory=dict)
    couple: dict[str, CoupleConfig] = Field(default_factory=dict)
    losses: dict[str, dict[str, Any]] = Field(default_factory=dict)
    loss: LossConfig = LossConfig()
    max_length: PositiveInt | None = None

    @model_validator(mode="after")
    def _references(self) -> ModelConfig:
        problems: dict[str, str] = {}
        for name, modality in self.modalities.items():
            for key, table in (("encoder", "encoders"), ("target_encoder", "encoders"), ("decoder", "decoders")):
                named, known = getattr(modality, key), getattr(self, table)
                if named is not None and named not in known:
                    hint = nearest(named, known) or f"{table} has only {sorted(known) or 'nothing'}"
                    problems[f"modalities.{name}.{key}"] = f"no {table[:-1]} is called {named!r} here; {hint}"
            if modality.predicted is None and modality.decoder is None:
                problems[f"modalities.{name}"] = "a modality needs an encoder, a decoder or both"
        for key, couple in self.couple.items():
            without = [n for n in couple.pair if n not in self.modalities or self.modalities[n].decoder is None]
            if without:
                problems[f"couple.{key}.pair"] = f"no modality {without[0]!r} with a decoder here"
            elif couple.pair[0] == couple.pair[1]:
                problems[f"couple.{key}.pair"] = "a modality is not coupled with itself"
        if problems:
            raise WrongOptionsError(problems)
        return self
