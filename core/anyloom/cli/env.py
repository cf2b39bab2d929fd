"""``anyloom env``: versions, machine and plugins, for a report of a fault. It names no files and no secrets."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from typing import Any

from anyloom.discovery import ALLOW_VARIABLE, get_registry
from anyloom.discovery.guarding import LIMIT_VARIABLE

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Run ``anyloom env`` with the words after it."""
    parser = argparse.ArgumentParser(prog="anyloom env", description="Print versions, machine and plugins.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(list(arguments))
    found = _facts()
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for key, value in found.items():
        print(f"{key}: {value}" if not isinstance(value, list) else "\n  ".join([f"{key}:", *value]))
    return 0


def _facts() -> dict[str, Any]:
    from anyloom.evaluation.environment import environment

    plugins = [f"{p}: {p.status}" for p in get_registry().plugins]
    variables = {name: os.environ[name] for name in (ALLOW_VARIABLE, LIMIT_VARIABLE) if name in os.environ}
    return {**environment(), "System": platform.platform(), **variables, "Plugins": plugins}
