"""``anyloom schema``: a JSON schema of configs with everything that is installed, for editors."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from anyloom.errors import ConfigError

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom schema`` with the words after it."""
    parser = argparse.ArgumentParser(
        prog="anyloom schema",
        description="Print a JSON schema (draft 2020-12) of configs with all installed components, for YAML editors.",
        epilog="First line of a config: # yaml-language-server: $schema=anyloom.schema.json",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write it to a file instead")
    options = parser.parse_args(list(arguments))

    from anyloom.json_schema import config_schema

    text = json.dumps(config_schema(), indent=1, ensure_ascii=False) + "\n"
    if options.output is None:
        print(text, end="")
        return 0
    try:
        options.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot be written ({error})", where=str(options.output), fix="give another --output"
        ) from error
    print(f"schema: {options.output}")
    return 0
