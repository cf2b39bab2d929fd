"""Arguments that several commands share, and how the words of a command line are told apart."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from anyloom.errors import ConfigError

__all__ = [
    "Sources",
    "add_config_arguments",
    "add_device_arguments",
    "add_download_argument",
    "add_isolation_argument",
    "add_trust_arguments",
    "require_sections",
    "split_sources",
]

_KEY: Final = re.compile(r"[^\s=/\\.~-][^\s=/\\.]*(\.[^\s=/\\.]+)*")
_DTYPES: Final = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Sources:
    """What a command line names.

    Args:
        configs: Files, folders and recipes, in order.
        overrides: ``key=value``, in order.
        safe: Whether the config is a stranger's: no class paths, no environment.
        trust: Whether saved models may name classes to import.
        download: Whether a model that is named ``owner/name`` may be fetched from the Hugging Face hub.

    >>> Sources(["mini"], ["data.batch_size=4"]).single("to train")
    'mini'
    """

    configs: list[str]
    overrides: list[str]
    safe: bool = False
    trust: bool = False
    download: bool = False

    def compose(self, stage: str | None = None) -> dict[str, Any]:
        """Compose the configs; see :func:`anyloom.config.compose.compose`. Overrides must change something."""
        from anyloom.config.compose import compose

        return compose(self.configs, self.overrides, stage, safe=self.safe, trust=self.trust, strict=True)

    def single(self, use: str) -> str | None:
        """The only config, or None if there is none.

        Raises:
            anyloom.errors.ConfigError: Several are named.
        """
        if len(self.configs) > 1:
            named = " ".join(self.configs)
            said = "; what is said goes after --text" if " " in "".join(self.configs) else ""
            what = f"{len(self.configs)} models are named, one can {use}"
            raise ConfigError(what, where=named, fix=f"name one{said}")
        return self.configs[0] if self.configs else None


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``CONFIG...`` and ``key=value`` positionals, and whom to trust.

    >>> parser = argparse.ArgumentParser()
    >>> add_config_arguments(parser)
    >>> parser.parse_args(["mini", "data.batch_size=4"]).sources
    ['mini', 'data.batch_size=4']
    """
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="CONFIG|KEY=VALUE",
        help="YAML files or recipe names, merged in order, and dotted overrides such as data.batch_size=4",
    )
    add_trust_arguments(parser)


def add_trust_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--safe`` and ``--trust``.

    >>> parser = argparse.ArgumentParser()
    >>> add_trust_arguments(parser)
    >>> parser.parse_args(["--safe"]).safe
    True
    """
    parser.add_argument(
        "--safe", action="store_true", help="for a stranger's config: registered names only, no environment variables"
    )
    parser.add_argument("--trust", action="store_true", help="import the classes that a saved model names by path")


def add_download_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--download``.

    >>> parser = argparse.ArgumentParser()
    >>> add_download_argument(parser)
    >>> parser.parse_args([]).download
    False
    """
    text = "fetch a model that is named OWNER/NAME from the Hugging Face hub, if it is not here yet"
    parser.add_argument("--download", action="store_true", help=text)


def add_device_arguments(parser: argparse._ActionsContainer) -> None:
    """Add ``--device``, ``--dtype`` and ``--offload``.

    >>> parser = argparse.ArgumentParser()
    >>> add_device_arguments(parser)
    >>> parser.parse_args(["--device", "auto"]).device
    'auto'
    """
    parser.add_argument("--device", default="cpu", help="where the model runs: cpu, cuda, auto; default: cpu")
    parser.add_argument("--dtype", choices=_DTYPES, help="precision of the model; default: as it was saved")
    parser.add_argument("--offload", action="store_true", help="keep decoders on the CPU while nothing is made by them")


def add_isolation_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--isolate``.

    >>> parser = argparse.ArgumentParser()
    >>> add_isolation_argument(parser)
    >>> parser.parse_args(["--isolate"]).isolate
    True
    """
    text = "open media in a process that ends after 30 s or 4 GB: for files that come from anybody"
    parser.add_argument("--isolate", action="store_true", help=text)


def split_sources(options: argparse.Namespace) -> Sources:
    """Tell configs from overrides among parsed ``sources``. What exists on disk is a path, whatever it is called.

    Raises:
        anyloom.errors.ConfigError: A word with ``=`` is neither a path that exists nor an override.

    >>> parser = argparse.ArgumentParser()
    >>> add_config_arguments(parser)
    >>> sources = split_sources(parser.parse_args(["mini", "data.batch_size=4"]))
    >>> sources.configs, sources.overrides
    (['mini'], ['data.batch_size=4'])
    """
    configs: list[str] = []
    overrides: list[str] = []
    for word in options.sources:
        key, equals, _ = word.partition("=")
        if not equals or os.path.exists(word):  # false for what cannot be a path
            configs.append(word)
        elif _KEY.fullmatch(key):
            overrides.append(word)
        else:
            what = "there is no such file or folder, and an override is written key=value"
            raise ConfigError(what, where=word, fix="check the path, or write for example data.batch_size=4")
    chosen = {name: getattr(options, name, False) for name in ("safe", "trust", "download")}
    return Sources(configs, overrides, **chosen)


def require_sections(overrides: Sequence[str], allowed: Sequence[str], command: str) -> None:
    """Refuse overrides of sections that a command does not read; they would change nothing.

    Raises:
        anyloom.errors.ConfigError: Names the first of them.

    >>> require_sections(["suite.queries=20"], ("suite", "variables"), "evaluate")
    >>> try:
    ...     require_sections(["trainer.max_steps=2"], ("suite", "variables"), "evaluate")
    ... except ConfigError as error:
    ...     print(error.where)
    trainer.max_steps=2
    """
    for override in overrides:
        section = override.partition("=")[0].partition(".")[0]
        if section not in allowed:
            fix = f"'anyloom {command}' reads {', '.join(allowed)}"
            raise ConfigError(f"{section!r} changes nothing here", where=override, fix=fix)
