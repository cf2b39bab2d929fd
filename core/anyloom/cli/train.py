"""``anyloom fit | validate | test | predict``: LightningCLI on composed configs."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from anyloom.cli.arguments import add_config_arguments, split_sources
from anyloom.config.compose import compose

__all__ = ["fit", "predict", "test", "validate"]


def fit(arguments: list[str]) -> int:
    """Train."""
    return _run("fit", arguments)


def validate(arguments: list[str]) -> int:
    """Run the validation loop."""
    return _run("validate", arguments)


def test(arguments: list[str]) -> int:
    """Run the test loop."""
    return _run("test", arguments)


def predict(arguments: list[str]) -> int:
    """Generate answers for the test split and write them as conversations."""
    return _run("predict", arguments)


def _run(subcommand: str, arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog=f"anyloom {subcommand}", description=f"{subcommand} with lightning")
    add_config_arguments(parser)
    if subcommand == "fit":
        parser.add_argument("--stage", help="a stage of the recipe, or 'all' to run each in turn")
    if subcommand == "predict":
        parser.add_argument("--output", type=Path, default=Path("predictions"), help="folder for answers")
    parser.add_argument("--print-config", action="store_true", help="print the composed config and stop")
    options = parser.parse_args(arguments)
    stage = getattr(options, "stage", None)
    configs, overrides = split_sources(options)
    sections = compose(configs, overrides)
    stages = list(sections.get("stages") or {}) if stage == "all" else [stage]
    for name in stages:
        composed = compose(configs, overrides, stage=name) if name else sections
        composed.pop("stages", None)
        if options.print_config:
            print(yaml.safe_dump(composed, sort_keys=False))
            continue
        from anyloom.training.run import run

        run(subcommand, composed, answers=getattr(options, "output", None))
    return 0
