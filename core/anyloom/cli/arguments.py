"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from typing import Any

from anyloom.config.compose import compose

__all__ = ["add_config_arguments", "compose_arguments"]


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``CONFIG...`` and ``key=value`` positionals; what contains '=' is an override."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="CONFIG|KEY=VALUE",
        help="YAML files or recipe names, merged in order, and dotted overrides such as data.batch_size=4",
    )


def compose_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Compose the configs of parsed arguments; splits ``sources`` into ``configs`` and ``overrides``."""
    options.configs = [s for s in options.sources if "=" not in s]
    options.overrides = [s for s in options.sources if "=" in s]
    return compose(options.configs, options.overrides)
