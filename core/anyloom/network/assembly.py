"""Builds the parts of a model from its config and checks that they fit before any weight is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn

from anyloom.building import build_named
from anyloom.diffusion.coupling import ConditionCoupler
from anyloom.diffusion.joint import require_shared_times
from anyloom.diffusion.latent_decoder import LatentDiffusionDecoder
from anyloom.errors import AnyloomError, ConfigError, FeatureSpaceError, PluginError, combine
from anyloom.interfaces.decoder import Decoder
from anyloom.interfaces.encoder import Encoder
from anyloom.interfaces.feature_space import FeatureSpace
from anyloom.interfaces.llm import LLM
from anyloom.network.config import CoupleConfig, ModelConfig

__all__ = ["Parts", "assemble", "assemble_partly", "feature_spaces", "keyed", "space_error", "space_problems"]


class Parts(nn.Module):
    """The components of a model, by the keys of its config; :func:`assemble` fills it."""

    llm: LLM

    def __init__(self) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict()
        self.decoders = nn.ModuleDict()
        self.input_projectors = nn.ModuleDict()
        self.output_projectors = nn.ModuleDict()
        self.couplers = nn.ModuleDict()

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

    def coupler(self, key: str) -> ConditionCoupler:
        """The coupler of a config key."""
        coupler = self.couplers[key]
        assert isinstance(coupler, ConditionCoupler)
        return coupler

    def components(self) -> dict[str, nn.Module]:
        """Every part by its YAML key."""
        named: dict[str, nn.Module] = {"model.llm": self.llm} if "llm" in self._modules else {}
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
        anyloom.errors.ConfigError: Options are wrong, or a component does not handle a modality. Several problems
            of any kind are raised as one error with a line for each.
    """
    parts, problems = assemble_partly(config)
    if problems:
        raise combine(problems) from problems[0].__cause__
    return parts


def assemble_partly(config: ModelConfig, catch: type[Exception] = AnyloomError) -> tuple[Parts, list[AnyloomError]]:
    """Build what can be built, and return it with every problem that was met.

    Args:
        config: The model section.
        catch: What counts as a problem of one part; anything else is raised.
    """
    parts, problems = Parts(), _Problems(catch)
    with problems.at("model.llm"):
        parts.llm = build_named("llm", config.llm, where="model.llm")
    for group, kind in (("encoders", "encoder"), ("decoders", "decoder")):
        for key, options in getattr(config, group).items():
            with problems.at(f"model.{group}.{key}"):
                getattr(parts, group)[key] = build_named(kind, options, where=f"model.{group}.{key}")
    problems.found += space_problems(config, parts)
    if not problems.found:
        for name, space in feature_spaces(config, parts).items():
            _add_projectors(config, parts, name, space, problems)
        for key, couple in config.couple.items():
            with problems.at(f"model.couple.{key}"):
                parts.couplers[key] = _build_coupler(config, parts, couple)
    return parts, problems.found


def _build_coupler(config: ModelConfig, parts: Parts, couple: CoupleConfig) -> ConditionCoupler:
    decoders = [parts.decoder(str(config.modalities[name].decoder)) for name in couple.pair]
    latent = [d for d in decoders if isinstance(d, LatentDiffusionDecoder)]
    if len(latent) < len(decoders):
        other = next(type(d).__name__ for d in decoders if not isinstance(d, LatentDiffusionDecoder))
        raise ConfigError(f"{other} is no latent diffusion decoder, which alone can be coupled")
    require_shared_times(*latent)
    dims, channels = [d.feature_space().dim for d in latent], [d.latent_shape[0] for d in latent]
    return ConditionCoupler(couple, dims, channels)


def _add_projectors(config: ModelConfig, parts: Parts, name: str, space: FeatureSpace, problems: _Problems) -> None:
    hidden = parts.llm.hidden_size
    width = space.dim * (space.tokens if config.feature_steps == "parallel" else 1)
    for side, (in_dim, out_dim) in (("input_projector", (space.dim, hidden)), ("output_projector", (hidden, width))):
        options, where = getattr(config.modalities[name], side), f"model.modalities.{name}.{side}"
        with problems.at(where):
            table = getattr(parts, f"{side}s")
            table[name] = build_named("projector", options, where=where, in_dim=in_dim, out_dim=out_dim)


class _Problems:
    """Collects what goes wrong in single parts, each with its YAML key."""

    def __init__(self, catch: type[Exception]) -> None:
        self.catch = catch
        self.found: list[AnyloomError] = []

    @contextmanager
    def at(self, key: str) -> Iterator[None]:
        """Keep the error of one part and go on."""
        try:
            yield
        except self.catch as error:
            self.found += keyed(error, key)


def keyed(error: Exception, key: str) -> list[AnyloomError]:
    """Return an error's parts with a YAML key as their place."""
    if not isinstance(error, AnyloomError):
        text = " ".join(str(error).split())
        problem = PluginError(f"the component cannot be built ({type(error).__name__}: {text})", where=key)
        problem.__cause__ = error
        return [problem]
    return [_beneath(part, key) for part in error.parts]


def _beneath(problem: AnyloomError, key: str) -> AnyloomError:
    """Put a key before an error's place; a component names its own options without it."""
    if problem.where.startswith(key):
        return problem
    if isinstance(problem, ConfigError) and re.fullmatch(r"[a-z_][\w.]*", problem.where):
        return type(problem)(problem.what, where=f"{key}.{problem.where}", fix=problem.fix)
    what = f"{problem.where}: {problem.what}" if problem.where else problem.what
    return type(problem)(what, where=key, fix=problem.fix)


def feature_spaces(config: ModelConfig, parts: Parts) -> dict[str, FeatureSpace]:
    """The feature space of each modality, as its encoder gives it."""
    return {n: parts.encoder(m.encoder).feature_space(n) for n, m in config.modalities.items()}


def space_problems(config: ModelConfig, parts: Parts) -> list[AnyloomError]:
    """One error for every encoder that does not handle its modality and every decoder that does not fit.

    Parts that are missing are passed over.
    """
    problems: list[AnyloomError] = []
    for name, modality in config.modalities.items():
        where = f"model.modalities.{name}"
        if modality.encoder not in parts.encoders:
            continue
        try:
            parts.encoder(modality.encoder).feature_space(name)
        except (KeyError, AnyloomError) as error:
            what = f"{_label('encoder', config.encoders, modality.encoder)} does not encode {name!r} ({error})"
            problems.append(ConfigError(what, where=f"{where}.encoder", fix="choose an encoder that does"))
            continue
        if modality.decoder is not None and modality.decoder in parts.decoders:
            problems += _decoder_problems(config, parts, name)
    return problems


def _decoder_problems(config: ModelConfig, parts: Parts, name: str) -> list[AnyloomError]:
    modality, where = config.modalities[name], f"model.modalities.{name}.decoder"
    assert modality.decoder is not None
    decoder, label = parts.decoder(modality.decoder), _label("decoder", config.decoders, modality.decoder)
    if decoder.modality != name:
        return [ConfigError(f"{label} makes {decoder.modality}, not {name}", where=where)]
    names = (_label("encoder", config.encoders, modality.encoder), label)
    error = space_error(parts.encoder(modality.encoder), decoder, where=where, names=names)
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
