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

__all__ = ["assemble", "assemble_partly", "keyed"]


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
        _add_representations(config, parts, problems)
        _add_couplers(config, parts, problems)
        for key, options in config.losses.items():
            with problems.at(f"model.losses.{key}"):
                parts.losses[key] = build_named("loss", options, where=f"model.losses.{key}")
    return parts, problems.found


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
    last = key.rpartition(".")[2]
    if problem.where.split(".")[0] == last:  # it says its own kind, where the key ends with it
        return type(problem)(problem.what, where=f"{key}{problem.where.removeprefix(last)}", fix=problem.fix)
    if isinstance(problem, ConfigError) and re.fullmatch(r"[a-z_][\w.]*", problem.where):
        return type(problem)(problem.what, where=f"{key}.{problem.where}", fix=problem.fix)
    what = f"{problem.where}: {problem.what}" if problem.where else problem.what
    return type(problem)(what, where=key, fix=problem.fix)
