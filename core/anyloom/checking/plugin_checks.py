"""Asks plugins about an assembled model, and gets along with plugins that answer badly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from anyloom.discovery import get_registry
from anyloom.errors import AnyloomError, ConfigError, PluginError

__all__ = ["plugin_problems"]


def plugin_problems(model: Any, config: Mapping[str, Any]) -> list[AnyloomError]:
    """Return what the plugins' ``anyloom_checks`` say; a hook that fails is a problem of its own.

    Args:
        model: The model on the meta device.
        config: The resolved configuration.
    """
    problems: list[AnyloomError] = []
    for plugin, caller in get_registry().callers("anyloom_checks"):
        try:
            answers = caller(model=model, config=config)
            problems += [ConfigError(line, where="model") for answer in answers for line in _lines(answer)]
        except AnyloomError as error:
            problems += error.parts
        except Exception as error:  # a plugin's own
            text = " ".join(f"{type(error).__name__}: {error}".split())
            problems.append(PluginError(f"its anyloom_checks failed ({text})", where=f"plugin {plugin}"))
    return problems


def _lines(answer: Any) -> list[str]:
    """The lines of an answer; None is none."""
    if answer is None:
        return []
    if isinstance(answer, str) or not isinstance(answer, Iterable):
        raise TypeError(f"expected a list of lines, got {answer!r}")
    return [str(line) for line in answer]
