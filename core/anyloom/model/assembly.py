"""Builds the parts of a model from its config and checks that they fit before any weight is read."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from anyloom.building import build_named
from anyloom.errors import ConfigError, FeatureSpaceError
from anyloom.interfaces.decoder import Decoder
from anyloom.interfaces.encoder import Encoder
from anyloom.interfaces.feature_space import FeatureSpace
from anyloom.interfaces.llm import LLM
from anyloom.interfaces.projector import Projector
from anyloom.model.config import ModelConfig

__all__ = ["Parts", "assemble", "feature_spaces", "space_problems"]


class Parts(nn.Module):
    """The components of a model, by the keys of its config."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.llm: LLM = build_named("llm", config.llm, where="model.llm")
        self.encoders = nn.ModuleDict(
            {k: build_named("encoder", v, where=f"model.encoders.{k}") for k, v in config.encoders.items()}
        )
        self.decoders = nn.ModuleDict(
            {k: build_named("decoder", v, where=f"model.decoders.{k}") for k, v in config.decoders.items()}
        )
        self.input_projectors = nn.ModuleDict()
        self.output_projectors = nn.ModuleDict()

    def encoder(self, key: str) -> Encoder:
        """The encoder of a config key."""
        encoder = self.encoders[key]
        assert isinstance(encoder, Encoder)
        return encoder

    def decoder(self, key: str) -> Decoder:
        """The decoder of a config key."""
        decoder = self.decoders[key]
        assert isinstance(decoder, Decoder)
        return decoder

    def components(self) -> dict[str, nn.Module]:
        """Every part by its YAML key."""
        named: dict[str, nn.Module] = {"model.llm": self.llm}
        for group in ("encoders", "decoders"):
            named |= {f"model.{group}.{k}": part for k, part in getattr(self, group).items()}
        for side in ("input_projector", "output_projector"):
            table: Mapping[str, nn.Module] = getattr(self, f"{side}s")
            named |= {f"model.modalities.{m}.{side}": part for m, part in table.items()}
        return named


def assemble(config: ModelConfig) -> Parts:
    """Build every part of a config. Feature spaces that do not fit are refused.

    Raises:
        anyloom.errors.FeatureSpaceError: A decoder asks for other features than the encoder gives; names both
            components and the key.
        anyloom.errors.ConfigError: Options are wrong, or a component does not handle a modality.
    """
    parts = Parts(config)
    problems = space_problems(config, parts)
    if problems:
        raise FeatureSpaceError("\n".join(problems))
    spaces = feature_spaces(config, parts)
    for name, modality in config.modalities.items():
        space, hidden = spaces[name], parts.llm.hidden_size
        width = space.dim * (space.tokens if config.feature_steps == "parallel" else 1)
        where = f"model.modalities.{name}"
        parts.input_projectors[name] = _projector(
            modality.input_projector, space.dim, hidden, f"{where}.input_projector"
        )
        parts.output_projectors[name] = _projector(
            modality.output_projector, hidden, width, f"{where}.output_projector"
        )
    return parts


def _projector(options: dict[str, object], in_dim: int, out_dim: int, where: str) -> Projector:
    projector: Projector = build_named("projector", options, where=where, in_dim=in_dim, out_dim=out_dim)
    return projector


def feature_spaces(config: ModelConfig, parts: Parts) -> dict[str, FeatureSpace]:
    """The feature space of each modality, as its encoder gives it."""
    return {n: parts.encoder(m.encoder).feature_space(n) for n, m in config.modalities.items()}


def space_problems(config: ModelConfig, parts: Parts) -> list[str]:
    """One line for every decoder whose feature space or modality does not fit; empty if all is well."""
    problems = []
    for name, modality in config.modalities.items():
        if modality.decoder is None:
            continue
        encoder, decoder = parts.encoder(modality.encoder), parts.decoder(modality.decoder)
        where = f"model.modalities.{name}.decoder"
        if decoder.modality != name:
            problems.append(
                f"{where}: {_label(config.decoders, modality.decoder)} makes {decoder.modality}, not {name}"
            )
            continue
        try:
            given = encoder.feature_space(name)
        except (KeyError, ConfigError) as error:
            problems.append(f"model.modalities.{name}.encoder: {error}")
            continue
        asked = decoder.feature_space()
        if asked != given:
            problems.append(
                f"{where}: decoder {_label(config.decoders, modality.decoder)} asks for {asked}, but encoder "
                f"{_label(config.encoders, modality.encoder)} gives {given}: {', '.join(given.mismatch(asked))}. "
                "To fix: choose an encoder and a decoder of one feature space"
            )
    return problems


def _label(table: Mapping[str, Mapping[str, object]], key: str) -> str:
    return f"{key!r} ({table[key].get('name') or table[key].get('class_path')})"
