"""From the name that a user gives to the names in the code of a new plugin."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from typing import Final

from anyloom.discovery import get_registry
from anyloom.errors import ConfigError, PluginError, nearest

__all__ = ["KINDS", "PluginNames", "check_free", "plugin_names"]

_PROVIDED: Final = {
    "encoder": ("encoder",),
    "decoder": ("decoder",),
    "llm": ("llm",),
    "dataset": ("dataset",),
    "metric": ("metric",),
    "modality": ("modality", "encoder", "decoder"),
    "projector": ("projector",),
    "representation": ("representation",),
    "coupler": ("coupler",),
    "loss": ("loss",),
    "baseline": ("baseline",),
}
KINDS: Final = tuple(_PROVIDED)
"""What a new plugin can be begun as."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class PluginNames:
    """Names of one new plugin.

    Args:
        kind: One of :data:`KINDS`.
        name: Name of its components in configs, such as ``mean-colour``.

    >>> names = PluginNames("encoder", "mean-colour")
    >>> names.package, names.distribution, names.class_name
    ('anyloom_mean_colour', 'anyloom-mean-colour', 'MeanColour')
    """

    kind: str
    name: str

    @property
    def package(self) -> str:
        """The importable package, such as ``anyloom_mean_colour``."""
        return f"anyloom_{self.name.replace('-', '_')}"

    @property
    def distribution(self) -> str:
        """The project on the package index, such as ``anyloom-mean-colour``."""
        return f"anyloom-{self.name}"

    @property
    def class_name(self) -> str:
        """The beginning of its classes' names, such as ``MeanColour``."""
        return "".join(part.capitalize() for part in self.name.split("-"))

    @property
    def provides(self) -> tuple[str, ...]:
        """Kinds of the components it registers under its name."""
        return _PROVIDED[self.kind]

    @property
    def trains(self) -> bool:
        """Whether its example is a config that trains; a baseline has a suite that it answers instead."""
        return self.kind != "baseline"


def plugin_names(kind: str, name: str) -> PluginNames:
    """Return the names of a new plugin. Underscores count as hyphens.

    Args:
        kind: One of :data:`KINDS`.
        name: Lower-case words of letters and digits with hyphens between them.

    Raises:
        anyloom.errors.ConfigError: The kind is unknown, or the name gives no valid identifiers.

    >>> names = plugin_names("encoder", "mean_colour")
    >>> names.distribution, names.package, names.class_name
    ('anyloom-mean-colour', 'anyloom_mean_colour', 'MeanColour')
    """
    if kind not in KINDS:
        fix = nearest(kind, KINDS) or f"the kinds are {', '.join(KINDS)}"
        raise ConfigError(f"there is no template for a {kind!r}", where="KIND", fix=fix)
    plain = name.replace("_", "-")
    if not _NAME.fullmatch(plain):
        raise ConfigError(
            f"{name!r} gives no package or class name",
            where="NAME",
            fix="use lower-case letters and digits with single hyphens between them, a letter first: mean-colour",
        )
    if plain == "anyloom" or plain.startswith("anyloom-"):
        raise ConfigError(
            f"{name!r} repeats what is put before every plugin's name",
            where="NAME",
            fix=f"leave it out: {plain.removeprefix('anyloom').removeprefix('-') or 'mean-colour'}",
        )
    return PluginNames(kind, plain)


def check_free(names: PluginNames) -> None:
    """Check that nothing installed has these names already.

    Raises:
        anyloom.errors.PluginError: A component or package does; names the package that provides it.

    >>> check_free(PluginNames("projector", "no-such-projector"))
    >>> try:
    ...     check_free(PluginNames("projector", "mlp"))
    ... except PluginError as error:
    ...     print(type(error).__name__)
    PluginError
    """
    for kind in names.provides:
        for spec in get_registry().components(kind):
            if spec.name == names.name:
                raise PluginError(
                    f"the {kind} {names.name!r} exists: {spec.package} {spec.version} provides it",
                    where="NAME",
                    fix="choose another name",
                )
    if importlib.util.find_spec(names.package) is not None:
        raise PluginError(
            f"a package {names.package} is installed", where="NAME", fix="choose another name, or uninstall it"
        )
