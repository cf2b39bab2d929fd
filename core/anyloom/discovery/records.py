"""The frozen records that plugins return from their hooks. Light on purpose: nothing here imports torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from anyloom.errors import PluginError, nearest

__all__ = ["API", "KINDS", "SUFFIX", "CommandSpec", "ComponentSpec", "RecipeSpec"]

API: Final = 2
"""Version of the plugin interface. A record made for another number is listed as incompatible and never used."""

KINDS: Final = (
    "modality",
    "encoder",
    "projector",
    "representation",
    "llm",
    "decoder",
    "coupler",
    "loss",
    "dataset",
    "metric",
    "baseline",
    "module",
)
"""What a component can be; each kind has an interface class of that name in :mod:`anyloom.interfaces`."""

_NAME: Final = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_TARGET: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
SUFFIX: Final = re.compile(r"(\.[a-z0-9_-]+)+")
"""What a file suffix of a modality may be: lower case with the dot, or several such in a row."""


def _check(record: str, name: str, target: str, field: str = "target") -> None:
    if not _NAME.fullmatch(name):
        raise PluginError(
            f"the name {name!r} is not lower-case letters, digits and single '-', '_' or '.' between them",
            where=record,
            fix="use a name such as 'my-encoder'",
        )
    if not _TARGET.fullmatch(target):
        raise PluginError(f"{field} {target!r} of {name!r} is not 'package.module:Name'", where=record)


@dataclass(frozen=True, kw_only=True)
class ComponentSpec:
    """One component that a plugin offers; its class is imported only when a config names it.

    Args:
        kind: One of :data:`KINDS`.
        name: Name in configs, unique within its kind.
        target: ``"package.module:Class"``.
        modalities: Names of the modalities it handles; empty if it handles any.
        requires: Top-level modules that must be importable (extras of the plugin's package).
        licence: SPDX identifier of the component, and of published weights where they differ.
        summary: One line for listings.
        suffixes: For a modality: suffixes of the files it reads, lower case with the dot. So no class is imported to
            find out who reads a file.
        signatures: For a modality: how its files begin, ``?`` for any byte. They tell what a file is whose suffix
            nobody claims; of two that fit, the longer one counts.
        tiny: ``"package.module:function"`` of its tiny form for ``anyloom plugins check``: called with an empty folder
            that it may write to, it returns a case of :mod:`anyloom.testing`.
        api: The :data:`API` number the plugin was written for.
        package: Distribution that provides it; filled in by discovery.
        version: Version of that distribution; filled in by discovery.
        plugin: Entry point that provides it; filled in by discovery.

    >>> ComponentSpec(kind="encoder", name="tiny", target="anyloom_tiny.encoder:TinyEncoder").api
    2
    """

    kind: str
    name: str
    target: str
    modalities: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    licence: str = ""
    summary: str = ""
    suffixes: tuple[str, ...] = ()
    signatures: tuple[bytes, ...] = ()
    tiny: str = ""
    api: int = API
    package: str = ""
    version: str = ""
    plugin: str = ""

    def __post_init__(self) -> None:
        for key in ("modalities", "requires", "suffixes", "signatures"):
            value = getattr(self, key)
            if isinstance(value, str | bytes):  # a string is a sequence of letters: the classic forgotten comma
                raise PluginError(
                    f"{key} of {self.name!r} must be a tuple of names, got {value!r}", where="ComponentSpec"
                )
            object.__setattr__(self, key, tuple(value))
        if self.api != API:  # discovery lists it as incompatible; what its other fields may be is not known here
            return
        _check("ComponentSpec", self.name, self.target)
        _check("ComponentSpec", self.name, self.tiny or self.target, "tiny")
        if self.kind not in KINDS:
            fix = nearest(self.kind, KINDS) or f"the kinds are {', '.join(KINDS)}"
            raise PluginError(f"{self.name!r} is of the unknown kind {self.kind!r}", where="ComponentSpec", fix=fix)
        if wrong := [suffix for suffix in self.suffixes if not SUFFIX.fullmatch(suffix)]:
            raise PluginError(
                f"suffixes of {self.name!r} name {wrong[0]!r}",
                where="ComponentSpec",
                fix="write them in lower case with the dot, such as '.png'",
            )
        if wrong_bytes := [begin for begin in self.signatures if not isinstance(begin, bytes) or not begin.strip(b"?")]:
            raise PluginError(
                f"signatures of {self.name!r} hold {wrong_bytes[0]!r}",
                where="ComponentSpec",
                fix=r"give the first bytes of its files, such as b'\x89PNG'",
            )
        if (self.suffixes or self.signatures) and self.kind != "modality":
            raise PluginError(f"{self.name!r} is no modality, but claims files", where="ComponentSpec")
        if dotted := [module for module in self.requires if "." in module]:
            raise PluginError(
                f"requires of {self.name!r} names {dotted[0]!r}",
                where="ComponentSpec",
                fix=f"name the top-level module {dotted[0].partition('.')[0]!r}",
            )


@dataclass(frozen=True, kw_only=True)
class RecipeSpec:
    """A YAML config that ships with a plugin and can be named instead of a path.

    Args:
        name: Name on the command line.
        package: Importable package that holds the file.
        path: Path of the YAML file inside that package, with forward slashes.
        summary: One line for listings.
        command: What runs it, where that is not ``anyloom fit NAME``.
        weights: Folder of a saved model inside that package, if the recipe ships with one.

    >>> RecipeSpec(name="mine", package="anyloom_mine", path="mine.yaml", summary="My model").path
    'mine.yaml'
    """

    name: str
    package: str
    path: str
    summary: str = ""
    command: str = ""
    weights: str = ""
    api: int = API

    def __post_init__(self) -> None:
        _check("RecipeSpec", self.name, f"{self.package}:x")


@dataclass(frozen=True, kw_only=True)
class CommandSpec:
    """A subcommand of ``anyloom``; ``target`` is called with the list of remaining arguments, returns a status.

    Args:
        name: Word after ``anyloom``.
        target: ``"package.module:function"``, imported when the command runs.
        summary: One line for ``anyloom --help``.

    >>> CommandSpec(name="hello", target="anyloom_mine.hello:main").target
    'anyloom_mine.hello:main'
    """

    name: str
    target: str
    summary: str = ""
    api: int = API

    def __post_init__(self) -> None:
        _check("CommandSpec", self.name, self.target)
