"""Arguments that several commands share."""

from __future__ import annotations

import argparse

__all__ = ["add_config_arguments", "split_sources"]


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``CONFIG...`` and ``key=value`` positionals; what contains '=' is an override."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="CONFIG|KEY=VALUE",
        help="YAML files or recipe names, merged in order, and dotted overrides such as data.batch_size=4",
    )


def split_sources(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Return the configs and the overrides among parsed ``sources``."""
    return [s for s in options.sources if "=" not in s], [s for s in options.sources if "=" in s]
