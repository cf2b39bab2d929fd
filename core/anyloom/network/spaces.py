"""Feature spaces of a model's modalities, and where they do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from anyloom.errors import AnyloomError, ConfigError, FeatureSpaceError
from anyloom.interfaces.decoder import Decoder
from anyloom.interfaces.encoder import Encoder
from anyloom.interfaces.feature_space import FeatureSpace
from anyloom.network.config import ModelConfig
from anyloom.network.parts import Parts

__all__ = ["Spaces", "feature_spaces", "modality_spaces", "space_error", "space_problems"]


@dataclass(frozen=True)
class Spaces:
    """Feature spaces of one modality.

    Args:
        given: Of media that are read; None if they cannot be.
        predicted: Of what is predicted.
        supervised: Whether some encoder gives the true features of what is predicted.

    >>> Spaces(None, FeatureSpace(name="here", tokens=4, dim=8)).supervised
    True
    """

    given: FeatureSpace | None
    predicted: FeatureSpace
    supervised: bool = True


def modality_spaces(config: ModelConfig, parts: Parts, name: str) -> Spaces:
    """The feature spaces of a modality."""
    modality = config.modalities[name]
    given = None if modality.encoder is None else parts.encoder(modality.encoder).feature_space(name)
    if modality.predicted is None:
        return Spaces(given, parts.decoder(str(modality.decoder)).feature_space(), supervised=False)
    return Spaces(given, parts.encoder(modality.predicted).feature_space(name))


def feature_spaces(config: ModelConfig, parts: Parts) -> dict[str, FeatureSpace]:
    """The space in which each modality is predicted."""
    return {name: modality_spaces(config, parts, name).predicted for name in config.modalities}


def space_problems(config: ModelConfig, parts: Parts) -> list[AnyloomError]:
    """One error for every encoder that does not handle its modality and every decoder that does not fit.

    Parts that are missing are passed over.
    """
    problems: list[AnyloomError] = []
    for name, modality in config.modalities.items():
        for option in ("encoder", "target_encoder"):
            key = getattr(modality, option)
            if key is not None and key in parts.encoders:
                problems += _encoder_problems(config, parts, name, option, key)
        if not problems and modality.decoder is not None and modality.decoder in parts.decoders:
            problems += _decoder_problems(config, parts, name)
    return problems or _widths_of_one_name(config, parts)


def _widths_of_one_name(config: ModelConfig, parts: Parts) -> list[AnyloomError]:
    """A space has one width: encoders that give its name to features of different widths do not share it."""
    seen: dict[str, tuple[str, int]] = {}
    problems: list[AnyloomError] = []
    for name, modality in config.modalities.items():
        for option in ("encoder", "target_encoder"):
            key = getattr(modality, option)
            if key is None or key not in parts.encoders:
                continue
            space = parts.encoder(key).feature_space(name)
            first, dim = seen.setdefault(space.name, (key, space.dim))
            if dim != space.dim:
                what = (
                    f"the space {space.name!r} has {dim} dimensions in the encoder {first!r} and {space.dim} in {key!r}"
                )
                problems.append(
                    FeatureSpaceError(what, where=f"model.encoders.{key}", fix="give one of them a name of its own")
                )
    return problems


def _encoder_problems(config: ModelConfig, parts: Parts, name: str, option: str, key: str) -> list[AnyloomError]:
    try:
        parts.encoder(key).feature_space(name)
    except (KeyError, AnyloomError) as error:
        what = f"{_label('encoder', config.encoders, key)} does not encode {name!r} ({error})"
        return [ConfigError(what, where=f"model.modalities.{name}.{option}", fix="choose an encoder that does")]
    return []


def _decoder_problems(config: ModelConfig, parts: Parts, name: str) -> list[AnyloomError]:
    modality, where = config.modalities[name], f"model.modalities.{name}.decoder"
    assert modality.decoder is not None
    decoder, label = parts.decoder(modality.decoder), _label("decoder", config.decoders, modality.decoder)
    if decoder.modality != name:
        return [ConfigError(f"{label} makes {decoder.modality}, not {name}", where=where)]
    if modality.predicted is None or modality.predicted not in parts.encoders:
        return []
    names = (_label("encoder", config.encoders, modality.predicted), label)
    error = space_error(parts.encoder(modality.predicted), decoder, where=where, names=names)
    return [] if error is None else [error]


def space_error(
    encoder: Encoder, decoder: Decoder, *, where: str, names: tuple[str, str] | None = None
) -> FeatureSpaceError | None:
    """Return the error of a decoder that asks for other features than an encoder gives; None if they agree.

    Args:
        encoder: The encoder.
        decoder: The decoder; its modality is what the encoder is asked about.
        where: YAML key of the decoder.
        names: Encoder and decoder in words; by default their classes.
    """
    given, asked = encoder.feature_space(decoder.modality), decoder.feature_space()
    if given == asked:
        return None
    gives, asks = names or (f"the encoder ({type(encoder).__name__})", f"the decoder ({type(decoder).__name__})")
    what = f"{asks} asks for {asked}, but {gives} gives {given}: {', '.join(given.mismatch(asked))}"
    return FeatureSpaceError(what, where=where, fix="choose an encoder and a decoder of one feature space")


def _label(kind: str, table: Mapping[str, Mapping[str, object]], key: str) -> str:
    return f"{kind} {key!r} ({table[key].get('name') or table[key].get('class_path')})"
