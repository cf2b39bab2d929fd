"""``anyloom fit | validate | test | predict``: LightningCLI on composed configs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from anyloom.cli.arguments import add_config_arguments, split_sources
from anyloom.config.compose import compose
from anyloom.errors import ConfigError

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
    text = "or 'all' to run each in turn" if subcommand == "fit" else "by default the last that has been trained"
    parser.add_argument("--stage", help=f"a stage of the recipe, {text}")
    if subcommand == "predict":
        parser.add_argument("--output", type=Path, default=Path("predictions"), help="folder for answers")
    parser.add_argument("--print-config", action="store_true", help="print the composed config and stop")
    options = parser.parse_intermixed_args(arguments)
    configs, overrides = split_sources(options)
    sections = compose(configs, overrides)
    names = [options.stage]
    if subcommand != "fit":
        names = [_trained_stage(configs, overrides, sections, options.stage)]
    elif options.stage == "all":
        names = list(sections.get("stages") or {})
    for name in names:
        composed = compose(configs, overrides, stage=name) if name else sections
        composed.pop("stages", None)
        if options.print_config:
            print(yaml.safe_dump(composed, sort_keys=False))
            continue
        from anyloom.training.run import run

        run(subcommand, composed, answers=getattr(options, "output", None))
    return 0


def _trained_stage(configs: list[str], overrides: list[str], sections: dict[str, Any], asked: str | None) -> str | None:
    """The stage whose weights are used; None where the sections themselves, without a stage, name some.

    Raises:
        anyloom.errors.ConfigError: The recipe has stages, and neither they nor it have weights.
    """
    stages = list(sections.get("stages") or {})
    if asked is None and (not stages or _has_weights(sections)):
        return None
    for name in [asked] if asked is not None else reversed(stages):
        composed = compose(configs, overrides, stage=name)
        if asked is not None and _has_weights(composed):
            return name
        if _is_folder(composed.get("result")):
            print(f"stage: {name}", file=sys.stderr)
            return name
    what = "no stage has been trained yet" if asked is None else f"the stage {asked!r} has not been trained yet"
    fix = "run 'anyloom fit' with --stage first, or give ckpt_path or module.start_from"
    raise ConfigError(what, where="stages", fix=fix)


def _has_weights(sections: dict[str, Any]) -> bool:
    """Whether there is a checkpoint, a result or something to start from."""
    module = sections.get("module")
    begins = isinstance(module, dict) and _is_folder(module.get("start_from"))
    return bool(sections.get("ckpt_path")) or begins or _is_folder(sections.get("result"))


def _is_folder(path: object) -> bool:
    return isinstance(path, str) and Path(path).is_dir()
