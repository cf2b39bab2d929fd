"""Builds the parts of a model from its config and checks that they fit before any weight is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from anyloom.building import build_named
from anyloom.errors import AnyloomError, ConfigError, PluginError, combine
from anyloom.network.config import ModelConfig
from anyloom.network.parts import Parts
from anyloom.network.spaces import modality_spaces, space_problems

__all__ = ["add_decoders", "assemble", "assemble_partly", "keyed", "stands_without_decoders"]


def assemble(config: ModelConfig, *, decoders: bool = True) -> Parts:
    """Build every part of a config. Feature spaces that do not fit are refused.

    Args:
        config: The model section.
        decoders: Also build decoders; see :func:`assemble_partly`.

    Raises:
        anyloom.errors.FeatureSpaceError: A decoder asks for other features than the encoder gives; names both
            components and the key.
        anyloom.errors.ConfigError: Options are wrong, or a component does not handle a modality. Several problems
            of any kind are raised as one error with a line for each.
    """
    parts, problems = assemble_partly(config, decoders=decoders)
    if problems:
        raise combine(problems) from problems[0].__cause__
    return parts


def assemble_partly(
    config: ModelConfig, catch: type[Exception] = AnyloomError, *, decoders: bool = True
) -> tuple[Parts, list[AnyloomError]]:
    """Build what can be built, and return it with every problem that was met.

    Args:
        config: The model section.
        catch: What counts as a problem of one part; anything else is raised.
        decoders: Also build decoders; without them nothing else may need one, see :func:`stands_without_decoders`.
    """
    parts, problems = Parts(), _Problems(catch)
    with problems.at("model.llm"):
        parts.llm = build_named("llm", config.llm, where="model.llm")
    for key, options in config.encoders.items():
        with problems.at(f"model.encoders.{key}"):
            parts.encoders[key] = build_named("encoder", options, where=f"model.encoders.{key}")
    if decoders:
        _add_decoders(config, parts, problems)
    problems.found += space_problems(config, parts)
    if not problems.found:
        _add_representations(config, parts, problems)
        _add_couplers(config, parts, problems)
        for key, options in config.losses.items():
            with problems.at(f"model.losses.{key}"):
                parts.losses[key] = build_named("loss", options, where=f"model.losses.{key}")
    return parts, problems.found


def stands_without_decoders(config: ModelConfig) -> bool:
    """Whether everything but the decoders of a config can be built and used without them.

    >>> stands_without_decoders(ModelConfig(llm={"name": "llama"}))
    True
    """
    return not config.couple and all(modality.predicted is not None for modality in config.modalities.values())


def add_decoders(config: ModelConfig, parts: Parts) -> None:
    """Build the decoders of parts that were assembled without them.

    Raises:
        anyloom.errors.AnyloomError: One cannot be built, or does not fit; see :func:`assemble`.
    """
    problems = _Problems(AnyloomError)
    _add_decoders(config, parts, problems)
    problems.found += space_problems(config, parts)
    if problems.found:
        raise combine(problems.found) from problems.found[0].__cause__


def _add_decoders(config: ModelConfig, parts: Parts, problems: _Problems) -> None:
    for key, options in config.decoders.items():
        with problems.at(f"model.decoders.{key}"):
            parts.decoders[key] = build_named("decoder", options, where=f"model.decoders.{key}")


def _add_representations(config: ModelConfig, parts: Parts, problems: _Problems) -> None:
    for name, modality in config.modalities.items():
        spaces, where = modality_spaces(config, parts, name), f"model.modalities.{name}.representation"
        with problems.at(where):
            parts.representations[name] = build_named(
                "representation",
                modality.representation,
                where=where,
                given=spaces.given or spaces.predicted,
                target=spaces.predicted,
                hidden_size=parts.llm.hidden_size,
            )


def _add_couplers(config: ModelConfig, parts: Parts, problems: _Problems) -> None:
    for key, couple in config.couple.items():
        where = f"model.couple.{key}.coupler"
        with problems.at(where):
            decoders = [parts.decoder(str(config.modalities[name].decoder)) for name in couple.pair]
            parts.couplers[key] = build_named("coupler", couple.coupler, where=where, decoders=decoders)


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
    """Return an error's parts with a YAML key as their place.

    >>> [str(error) for error in keyed(ConfigError("too small", where="sizes.layers"), "model.llm")]
    ['model.llm.sizes.layers: too small']
    """
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
    last = key.rpartition(".")[2]
    if problem.where.split(".")[0] == last:  # it says its own kind, where the key ends with it
        return type(problem)(problem.what, where=f"{key}{problem.where.removeprefix(last)}", fix=problem.fix)
    if isinstance(problem, ConfigError) and re.fullmatch(r"[a-z_][\w.]*", problem.where):
        return type(problem)(problem.what, where=f"{key}.{problem.where}", fix=problem.fix)
    what = f"{problem.where}: {problem.what}" if problem.where else problem.what
    return type(problem)(what, where=key, fix=problem.fix)
